"""What changed from one batch to another: what was asked for, what models were made from, and what came out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from sensequant_assets.core.parameters import MODELS
from sensequant_assets.report.facts import METRICS, Report, Row


@dataclass(frozen=True, slots=True)
class Change:
    """A window whose trees, outcome or metric differ from the earlier batch's.

    Attributes
    ----------
    before, after
        The two rows.
    inputs
        Which of data, parameters and code differ by fingerprint; empty if none does.
    """

    before: Row
    after: Row
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """One metric of one model over the windows that have it in both batches."""

    model: str
    metric: str
    windows: int
    changed: int
    before: float
    after: float
    largest: Change | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from one batch to another.

    Attributes
    ----------
    named
        Settings, parameters and versions whose value changed: (name, before, after).
    only_before, only_after
        How many (model, pair) one batch has and the other lacks.
    both
        How many (model, pair) have a model in both batches, by model.
    inputs
        How many of those differ in `data`, `parameters`, `code`, by model.
    trees
        Windows whose trees differ.
    outcomes
        How many windows went from one outcome to another, by (model, before, after).
    newly_failed
        Windows that failed, and did not before.
    moved
        Metrics, changed or not.
    """

    named: Sequence[tuple[str, str, str]]
    only_before: int
    only_after: int
    both: Mapping[str, int]
    inputs: Mapping[str, Mapping[str, int]]
    trees: Sequence[Change]
    outcomes: Mapping[tuple[str, str, str], int]
    newly_failed: Sequence[Change]
    moved: Sequence[Moved]

    @property
    def unexplained(self) -> list[Change]:
        """Trees that differ although nothing they were made from does."""
        return [change for change in self.trees if not change.inputs]


def compare(before: Report, after: Report) -> Comparison:
    """Say what changed from one batch to another: what was asked for, what models were made from, and what came out."""
    old = {(row.model, *row.key): row for row in before.rows}
    new = {(row.model, *row.key): row for row in after.rows}
    common = [Change(old[key], row, _inputs(old[key], row)) for key, row in new.items() if key in old]
    models = [change for change in common if change.before.trees_fingerprint and change.after.trees_fingerprint]
    return Comparison(
        named=list(_renamed(before.batch, after.batch)),
        only_before=len(old.keys() - new.keys()),
        only_after=len(new.keys() - old.keys()),
        both=Counter(change.after.model for change in models),
        inputs={
            model: Counter(name for change in models if change.after.model == model for name in change.inputs)
            for model in MODELS
        },
        trees=[change for change in models if change.before.trees_fingerprint != change.after.trees_fingerprint],
        outcomes=Counter(
            (change.after.model, change.before.outcome, change.after.outcome)
            for change in common
            if change.before.outcome != change.after.outcome
        ),
        newly_failed=[
            change for change in common if change.after.outcome == "failed" and change.before.outcome != "failed"
        ],
        moved=[
            moved
            for model in MODELS
            for metric in METRICS
            if (moved := _moved(model, metric, [change for change in models if change.after.model == model]))
        ],
    )


def _inputs(before: Row, after: Row) -> tuple[str, ...]:
    pairs = {
        "data": (before.data_fingerprint, after.data_fingerprint),
        "parameters": (before.parameters_fingerprint, after.parameters_fingerprint),
        "code": (before.code_fingerprint, after.code_fingerprint),
    }
    return tuple(name for name, (old, new) in pairs.items() if old != new)


def _renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for group in ("settings", "parameters", "versions"):
        old, new = flat(before[group]), flat(after[group])
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                yield f"{group}.{name}", old.get(name, "-"), new.get(name, "-")
    if before["max_failure_rate"] != after["max_failure_rate"]:
        yield "max_failure_rate", str(before["max_failure_rate"]), str(after["max_failure_rate"])


def flat(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested values as `name.name: text`."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": text for inner, text in flat(value).items()}
        else:
            found[name] = "none" if value is None else str(value)
    return found


def _moved(model: str, metric: str, changes: Sequence[Change]) -> Moved | None:
    known = [
        (old, new, change)
        for change in changes
        if (old := change.before.metrics[metric]) is not None and (new := change.after.metrics[metric]) is not None
    ]
    if not known:
        return None
    changed = [found for found in known if found[0] != found[1]]
    return Moved(
        model=model,
        metric=metric,
        windows=len(known),
        changed=len(changed),
        before=mean(old for old, _, _ in known),
        after=mean(new for _, new, _ in known),
        largest=max(changed, key=lambda found: abs(found[1] - found[0]))[2] if changed else None,
    )
