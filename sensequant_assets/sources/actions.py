"""Corporate actions from a file."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite
from pathlib import Path

from sensequant_assets.core.quality.adjustment import Action
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.regular import read_regular, reason

FACTORS = (1e-3, 1e3)
"""Least and greatest factor of one action."""


def read_actions(path: Path) -> Mapping[str, Sequence[Action]]:
    """Read a CSV file of `symbol`, `ex_date` and `factor`; by symbol, in the order of the file.

    Parameters
    ----------
    path
        A factor is the price before over the price after: 5 for a split of one share into five.

    Raises
    ------
    UsageError
        The file is missing, is no such table, or has a row that is none.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_regular(path).decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader]
        names = [str(name).strip().lower() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = reason(error) if isinstance(error, (OSError, ValueError)) else str(error)
        raise UsageError(
            f"There are no corporate actions at {path}: {why}. Give a CSV file with --corporate-actions or "
            "SENSEQUANT_CORPORATE_ACTIONS."
        ) from error
    missing = [name for name in ("symbol", "ex_date", "factor") if name not in names]
    if missing:
        raise UsageError(f"{path}: column {', '.join(missing)} is missing; it has {', '.join(names) or 'none'}.")
    actions: dict[str, list[Action]] = {}
    for line, row in rows:
        cells = {str(name).strip().lower(): str(cell or "").strip() for name, cell in row.items()}
        try:
            day, factor = date.fromisoformat(cells["ex_date"]), float(cells["factor"])
        except ValueError as error:
            raise UsageError(f"{path}, line {line}: {error}. Write a day like 2024-01-05 and a number.") from error
        if not (isfinite(factor) and FACTORS[0] <= factor <= FACTORS[1]):
            raise UsageError(f"{path}, line {line}: factor {factor:g} is not in [{FACTORS[0]:g}, {FACTORS[1]:g}].")
        actions.setdefault(cells["symbol"], []).append(Action(day, factor, f"{path}, line {line}."))
    return actions
