"""Fingerprints: what a model was made from, so that an unchanged window is not trained again."""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

_BYTES = 16


def arrays_fingerprint(arrays: Iterable[NDArray[np.generic]], names: Iterable[str] = ()) -> str:
    """Hash of arrays by dtype, shape and bytes, and of column names."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=_BYTES)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def parameters_fingerprint(parameters: Mapping[str, object]) -> str:
    """Hash of parameters, whatever their order."""
    text = json.dumps(parameters, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=_BYTES).hexdigest()


def code_fingerprint(sources: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """Hash of source files and library versions.

    Parameters
    ----------
    sources
        Python source by module name. Comments, docstrings and layout do not count: they cannot change a tree.
    versions
        Version by name of each library that can change a tree.

    Raises
    ------
    ValueError
        There is no source: the hash of nothing would never change.
    """
    if not sources:
        raise ValueError("There is no source to take a fingerprint of.")
    digest = hashlib.blake2b(parameters_fingerprint(versions).encode(), digest_size=_BYTES)
    for name in sorted(sources):
        tree = ast.parse(sources[name])
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                body[:] = [statement for statement in body if not _is_docstring(statement)] or [ast.Pass()]
        digest.update(f"{name}\0{ast.dump(tree)}\0".encode())
    return digest.hexdigest()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
