"""Why a model is another one than before: bars, features, parameters, settings, code or libraries."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensequant_assets.core.quality.coverage import Coverage
from sensequant_assets.telemetry.questions.events import coverage
from sensequant_assets.telemetry.questions.windows import models_of_pair
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

_SHOWN = 12
_NOT_MADE_WITH = ("start", "end", "as_of", "universe", "bars")
"""Settings that say which rows there are; what came of that stands among the bars."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that differs.

    Attributes
    ----------
    what
        `bars`, `rows`, `features`, `parameters`, `labels`, `libraries`, `code` or `model`.
    name
        Which one: a symbol, a parameter, a library.
    before, after
        What it was and is, in words.
    """

    what: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Change:
    """A model and the one before it.

    Attributes
    ----------
    batch, before
        Batches of both; `before` is empty where there was none.
    since
        When the model that there is now was trained.
    reused
        How many later batches have reused it.
    reasons
        What differs, bars of the symbol itself first.
    remarks
        What cannot be told, in words.
    """

    batch: str
    before: str
    since: str
    reused: int
    reasons: Sequence[Reason]
    remarks: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        reasons = [{name: getattr(one, name) for name in Reason.__slots__} for one in self.reasons]
        return {
            "batch": self.batch, "before": self.before, "since": self.since, "reused": self.reused,
            "reasons": reasons, "remarks": list(self.remarks),
        }  # fmt: skip


def why(store: TelemetryStore, universe: str, model: str, symbol: str, window: str) -> Change | None:
    """Why a model of a pair is another one than before; None where there never was one.

    Parameters
    ----------
    store
        Where telemetry lies.
    universe, model, symbol, window
        Which model.
    """
    rows = models_of_pair(store, universe, model, symbol, window)
    if not rows:
        return None
    same = [row for row in rows if row["trees_fingerprint"] == rows[0]["trees_fingerprint"]]
    now = next((row for row in same if row["outcome"] == "trained"), same[-1])
    other = next((row for row in rows[rows.index(now) :] if row["trees_fingerprint"] != now["trees_fingerprint"]), None)
    since, reused = str(now["ended_at"]), sum(row["outcome"] == "reused" for row in same)
    if other is None:
        return Change(now["batch_id"], "", since, reused, (), ())
    reasons, remarks = list(_asked(other, now)), []
    if other["data_fingerprint"] != now["data_fingerprint"]:
        then, later = (_covered(store, row["batch_id"]) for row in (other, now))
        reasons = [*_rows(other, now), *(_bars(then, later, symbol, now) if then and later else ()), *reasons]
        if not then or not later:
            remarks.append("Which bars differ is not known: a batch that did not read the whole universe keeps none.")
    if other["code_fingerprint"] != now["code_fingerprint"] and not any(one.what == "libraries" for one in reasons):
        reasons.append(Reason("code", "sensequant-assets", other["code_fingerprint"], now["code_fingerprint"]))
    if not reasons:
        remarks.append("Nothing that telemetry keeps differs but the model.")
    return Change(now["batch_id"], other["batch_id"], since, reused, reasons, remarks)


def _asked(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Reason]:
    for what, column in (("parameters", "parameters"), ("labels", "settings"), ("libraries", "versions")):
        then, now = (_flat(json.loads(row[column] or "{}")) for row in (before, after))
        for name in sorted(then.keys() | now.keys()):
            if then.get(name) != now.get(name) and name not in _NOT_MADE_WITH:
                yield Reason(what, name, _said(then.get(name)), _said(now.get(name)))
    then, now = (json.loads(row["configuration"] or "{}").get("features") for row in (before, after))
    if then != now:
        yield Reason("features", "providers", _said(then), _said(now))


def _rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Reason]:
    for name in ("train_rows", "effective_start", "effective_end", "served_by"):
        if before[name] != after[name]:
            yield Reason("rows", name, _said(before[name]), _said(after[name]))


def _bars(before: Coverage, after: Coverage, symbol: str, row: Mapping[str, Any]) -> Iterator[Reason]:
    """Months whose bars differ: of the symbol itself, and of others, which share its pool, how many and which."""
    others = []
    for name in sorted(before.symbols.keys() | after.symbols.keys(), key=lambda one: (one != symbol, one)):
        then, now = _by_month(before, name), _by_month(after, name)
        months = [month for month in sorted(then.keys() | now.keys()) if then.get(month) != now.get(month)]
        if not months:
            continue
        if name != symbol:
            others.append(name)
            continue
        for month in months[:_SHOWN]:
            yield Reason("bars", f"{name} {month}", *(_bars_said(each.get(month)) for each in (then, now)))
        if len(months) > _SHOWN:
            yield Reason("bars", f"{name}, {len(months) - _SHOWN} more months", months[_SHOWN], months[-1])
    if others and json.loads(row["parameters"] or "{}").get("teacher", {}).get("scope") == "pool":
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        named = f"{', '.join(others[:_SHOWN])}{more}"
        yield Reason("bars", f"{counted(len(others), 'other symbol')} of the universe, which shares pools", "", named)


def _by_month(covered: Coverage, symbol: str) -> dict[str, tuple[str, int]]:
    """Digest and count of a symbol's bars by month."""
    own = covered.symbols.get(symbol)
    if own is None:
        return {}
    told = zip(covered.months, own.digests, own.bars, strict=False)
    return {month: (digest, bars) for month, digest, bars in told if digest}


def _bars_said(told: tuple[str, int] | None) -> str:
    return "no bars" if told is None else f"{counted(told[1], 'bar')} ({told[0]})"


def _covered(store: TelemetryStore, batch: str) -> Coverage | None:
    told = coverage(store, batch)
    return None if told is None else Coverage.read(told)


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{name} ") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def _said(value: Any) -> str:
    return "nothing" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
