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
    """Fingerprint of the core's source but for what makes no tree, and of the libraries that can change one.

    A model made with other code is trained again.
    """
    # Two threads that parse source at once break each other in Python 3.11: `ast.parse` then raises SystemError.
    with _PARSING:
        return _core()[0]


def judging() -> str:
    """Fingerprint of the source of `core/judging`.

    A model judged with other code is judged again, and its trees stay.
    """
    with _PARSING:
        return _core()[1]


@cache
def _core() -> tuple[str, str]:
    return core_fingerprints(Path(core.__path__[0]), {name: versions()[name] for name in ("lightgbm", "numpy")})


def core_fingerprints(directory: Path, libraries: Mapping[str, str]) -> tuple[str, str]:
    """Fingerprint of what changes a tree, and of what only judges one.

    Parameters
    ----------
    directory
        Of the core, whose modules count in nested packages too; those below `judging` judge. Those below `quality` tell
        of bars, and what they do to bars is in the fingerprint of the data; those below `scoring` ask trees that are
        there.
    libraries
        Version by name of each library that can change a tree.

    Raises
    ------
    ValueError
        The directory holds no module of one of the two.
    """
    sources = {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*.py")}
    judges = {name: source for name, source in sources.items() if name.startswith("judging/")}
    makes = {
        name: source for name, source in sources.items() if not name.startswith(("judging/", "quality/", "scoring/"))
    }
    return code_fingerprint(makes, libraries), code_fingerprint(judges, {})
