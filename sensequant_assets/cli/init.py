"""`sensequant init`: a directory of one's own, in which every command works at once."""

from pathlib import Path

import click

from sensequant_assets.cli.console import say
from sensequant_assets.defs.home import WORKSPACE, project_yaml
from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import making
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.sources.sample import EMBEDDED, SAMPLE

_ENV = f"""\
# Settings; the environment wins over them, and an option of a command over both.
# A universe of your own: symbol, name, listing_date, delisting_date, vendor_code, as far as they are known.
SENSEQUANT_UNIVERSE=universe.csv
# A file or directory of bars of your own: CSV, parquet or feather. `sensequant ingest` fetches them from a vendor.
SENSEQUANT_BARS={SAMPLE}
#SENSEQUANT_START=2022-01-01
#SENSEQUANT_END=today
#SENSEQUANT_FEATURES=standard,features.py:columns
"""
_FEATURES = '''\
"""Features of your own; SENSEQUANT_FEATURES in .env takes them in."""

import numpy as np


def columns(bars):
    """One column a bar: the last bar's range by its close. NaN is a missing value."""
    return {"range_by_close": np.where(bars.close > 0, (bars.high - bars.low) / bars.close, np.nan)}
'''
_PROJECT = """\
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "own"
code_location_target_module = "sensequant_assets.definitions"
code_location_name = "sensequant_assets"
"""
_OWN = '"""What is yours beside the assets: `dg scaffold defs` writes below `defs`, from where it is loaded."""\n'
_FILES = {
    ".env": _ENV,
    ".gitignore": "data/\n.env\n.tmp_dagster_home_*/\n",
    "features.py": _FEATURES,
    "own/__init__.py": _OWN,
    "own/defs/__init__.py": _OWN,
    "pyproject.toml": _PROJECT,
}


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def init(directory: Path) -> None:
    """Make a directory of your own, with the embedded sample in it until you name other bars.

    It has a universe, settings (.env), an example of a feature, and what `dagster` and `dg` need to find the same home.

    \b
    sensequant init desk
    cd desk
    sensequant backfill
    sensequant dev
    """
    make_project(directory)
    say(f"{directory} is ready: universe.csv, .env, features.py. Next: cd {directory}; sensequant backfill")


def make_project(directory: Path) -> None:
    """Write the files of a directory of one's own.

    Raises
    ------
    UsageError
        It is there and not empty, or cannot be made.
    """
    try:
        with making(directory.resolve()) as made:
            for name, text in _FILES.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_text(text)
            (made / "dagster.yaml").write_text(project_yaml())
            (made / "workspace.yaml").write_bytes(WORKSPACE.read_bytes())
            (made / "universe.csv").write_bytes((EMBEDDED / f"{SAMPLE}.csv").read_bytes())
    except OSError as error:
        raise UsageError(f"{directory} cannot be made: {reason(error)}.") from error


def is_as_made(directory: Path) -> bool:
    """Whether a directory was made so, and nobody has set anything in it since."""
    try:
        return read_regular(directory / ".env") == _ENV.encode()
    except OSError:
        return False
