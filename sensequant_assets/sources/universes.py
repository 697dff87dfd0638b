"""Universes from files."""

import csv
import io
from pathlib import Path

from sensequant_assets.core.universe import Universe, parse_universe
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.regular import read_regular, reason


def read_universe(path: Path) -> Universe:
    """Read a universe file; its name is the file's stem.

    Raises
    ------
    UsageError
        The file is missing, is no CSV, or breaks a rule.
    """
    try:
        written = read_regular(path)
    except OSError as error:
        raise UsageError(
            f"There is no universe file {path}: {reason(error)}. Give one with --universe or SENSEQUANT_UNIVERSE."
        ) from error
    try:
        reader = csv.reader(io.StringIO(written.decode("utf-8-sig"), newline=""), strict=True)
        header, *rows = [(reader.line_num, cells) for cells in reader] or [(1, [])]
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{path} is not a universe file: {error}") from error
    return parse_universe(header[1], rows, name=path.stem, origin=str(path))
