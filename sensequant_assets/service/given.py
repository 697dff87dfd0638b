"""What students say of features that somebody gives, of bars that nobody here knows."""

from collections.abc import Sequence
from typing import Any

from sensequant_assets.batch.prediction import Flag, doubts
from sensequant_assets.batch.serving import Standing
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import or_null
from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.journal import utc_now

GIVEN = "given"
"""Flag of such an answer, besides those of its student."""


def of_given(
    standing: Standing, symbols: Sequence[str], features: Floats
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Answers as of `batch.prediction.as_object`, without a time.

    Parameters
    ----------
    standing
        The students.
    symbols
        Whose row each is; a symbol may have several.
    features
        Shape (rows, features), columns as the students know them; NaN is a missing value.

    Returns
    -------
    tuple of list and dict
        An answer a row, in order, but for symbols that have no student; these, and why.

    Raises
    ------
    UsageError
        There is not one row a symbol, or it has another number of columns.
    """
    names = standing.pack.feature_names
    if features.shape != (len(symbols), len(names)):
        raise UsageError(
            f"{len(symbols)} symbols and {len(names)} features are asked for, and the table has the shape "
            f"{features.shape}: give each symbol a row, and the columns in the order of {', '.join(names[:3])} ..."
        )
    who = {symbol: standing.who_serves(symbol) for symbol in symbols}
    missing = {
        symbol: standing.missing.get(symbol, f"{symbol} has no student.") for symbol in symbols if who[symbol] is None
    }
    known = [place for place, symbol in enumerate(symbols) if symbol not in missing]
    answers = standing.pack.predict([str(who[symbols[place]]) for place in known], features[known])
    made_at = utc_now().isoformat()
    rows = []
    for number, place in enumerate(known):
        entry, distance = standing.pack.entry(str(who[symbols[place]])), float(answers.distance[number])
        raised = doubts(entry, distance)
        row = {
            "symbol": symbols[place],
            "time": None,
            "p": float(answers.served[number]),
            "p_raw": float(answers.raw[number]),
            "distance": or_null(distance),
            "flags": [GIVEN, *(flag.value for flag in Flag if flag in raised)],
            "unproven": standing.champion is None,
            "champion": standing.champion,
            "window": entry.window,
            "trees_fingerprint": entry.trees_fingerprint,
            "bars_fingerprint": None,
            "made_at": made_at,
        }
        rows.append(row)
    return rows, missing
