"""What models are made with besides data and parameters: the code, and the libraries."""

import importlib.metadata
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sensequant_assets import core
from sensequant_assets.core.provenance import code_fingerprint


@cache
def versions() -> dict[str, str]:
    """Versions of this package and of the libraries that can change a tree or a number."""
    names = ("sensequant-assets", "lightgbm", "numpy", "pandas", "dagster", "duckdb")
    return {name: importlib.metadata.version(name) for name in names}


_PARSING = threading.Lock()


def code() -> str:
    """Fingerprint of the core's source and of the libraries that can change a tree."""
    # Two threads that parse source at once break each other in Python 3.11: `ast.parse` then raises SystemError.
    with _PARSING:
        return _code()


@cache
def _code() -> str:
    return package_fingerprint(Path(core.__path__[0]), {name: versions()[name] for name in ("lightgbm", "numpy")})


def package_fingerprint(directory: Path, libraries: Mapping[str, str]) -> str:
    """Fingerprint of every module of a package, nested ones too, and of libraries.

    Parameters
    ----------
    directory
        Of the package.
    libraries
        Version by name.

    Raises
    ------
    ValueError
        The directory holds no module.
    """
    sources = {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*.py")}
    return code_fingerprint(sources, libraries)
