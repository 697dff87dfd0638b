"""Universes from files."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensequant_assets.core.universe import Universe, parse_universe
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.sources.text import DELIMITERS, encoding_of

Rows = list[tuple[int, Sequence[str]]]


def read_universe(path: Path) -> Universe:
    """Read a universe file; its name is the file's stem.

    It is CSV, or JSON: an object with one for each symbol, as `{"LICI": {"ipo_date": "2022-05-17"}}`, or a list of such
    objects that name their symbols themselves.

    Raises
    ------
    UsageError
        The file is missing, is neither, or breaks a rule.
    """
    try:
        written = read_regular(path)
    except OSError as error:
        raise UsageError(
            f"There is no universe file {path}: {reason(error)}. Give one with --universe or SENSEQUANT_UNIVERSE."
        ) from error
    try:
        text = written.decode(encoding_of(written))
        header, rows = _of_json(text) if path.suffix.lower() == ".json" else _of_csv(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise UsageError(f"{path} is not a universe file: {error}") from error
    return parse_universe(header, rows, name=path.stem, origin=str(path))


def _of_csv(text: str) -> tuple[Sequence[str], Rows]:
    """The header, and each row with its line."""
    first = text.splitlines()[0] if text else ""
    # A header has no delimiter in its names but the one that parts them.
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    (_, header), *rows = [(reader.line_num, cells) for cells in reader] or [(1, [])]
    return header, [*rows]


def _of_json(text: str) -> tuple[Sequence[str], Rows]:
    """Names of all fields, and each object with its place."""
    found = json.loads(text, object_pairs_hook=_once)
    if isinstance(found, dict) and all(isinstance(each, dict) for each in found.values()):
        found = [{"symbol": symbol, **fields} for symbol, fields in found.items()]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("it holds neither an object with one for each symbol nor a list of objects")
    header = list(dict.fromkeys(name for fields in found for name in fields))
    cells = [["" if fields.get(name) is None else str(fields[name]) for name in header] for fields in found]
    return header, list(enumerate(cells, start=1))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one name twice is an error, of which Python takes the last without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} stands there twice in one object")
    return found
