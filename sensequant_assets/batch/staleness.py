"""Which pairs are not what they would be if they were trained now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sensequant_assets.core.bars import corrupt
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.training import Fingerprints, Lesson
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore, StoredModel


class Cause(StrEnum):
    """Why a pair is stale."""

    UNTRAINED = "untrained"
    DATA = "data"
    PARAMETERS = "parameters"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Staleness:
    """What is stale among the eligible pairs of some symbols.

    Attributes
    ----------
    pairs
        Causes by (symbol, window key), symbol by symbol, windows in order; pairs that are current are left out.
    unreadable
        Errors of symbols whose bars cannot be read, or of the first pair of one that reads bad rows; such pairs are
        left out, because training cannot mend them.
    """

    pairs: Mapping[tuple[str, str], frozenset[Cause]] = field(default_factory=dict)
    unreadable: Mapping[str, WindowError] = field(default_factory=dict)

    def by(self, *causes: Cause) -> list[tuple[str, str]]:
        """The pairs that are stale for one of these causes, in order."""
        return [key for key, found in self.pairs.items() if not found.isdisjoint(causes)]


def stale_pairs(
    market: Market,
    store: ModelStore,
    teacher: TeacherParameters,
    student: StudentParameters,
    code: str,
    *,
    symbols: Iterable[str] | None = None,
    failed: Mapping[tuple[str, str, str], str] | None = None,
) -> Staleness:
    """Compare what models on disk were made from with what they would be made from now.

    What a model is tested on and judged with is no part of it, so that new bars touch the windows they fall in and no
    others, and a new metric touches none.

    Parameters
    ----------
    market, store
        The lattice, and the models of its universe.
    teacher, student, code
        What a model would be made with: parameters, and `made_with.code()`.
    symbols
        Whose pairs; all by default.
    failed
        Data fingerprint of the last attempt by (model, symbol, window key), as `data_that_failed` gives it: such a
        pair is not stale before its data change, because trying it again would end the same.
    """
    pairs: dict[tuple[str, str], frozenset[Cause]] = {}
    unreadable: dict[str, WindowError] = {}
    for symbol in market.universe.symbols if symbols is None else symbols:
        plan = market.plan(symbol)
        if isinstance(plan.samples, WindowError):
            unreadable[symbol] = plan.samples
            continue
        for pair in plan.pairs:
            if pair.eligible and pair.spoiled:
                unreadable.setdefault(symbol, corrupt(pair.spoiled))
            elif pair.eligible:
                lesson = market.lesson(pair)
                found = _causes(lesson, store, teacher, student, code, failed or {})
                if found:
                    pairs[symbol, pair.window.key] = found
    return Staleness(pairs, unreadable)


def _causes(
    lesson: Lesson,
    store: ModelStore,
    teacher: TeacherParameters,
    student: StudentParameters,
    code: str,
    failed: Mapping[tuple[str, str, str], str],
) -> frozenset[Cause]:
    key = (lesson.pair.symbol, lesson.pair.window.key)
    stored = store.find("teacher", *key)
    now = lesson.fingerprints(teacher, code)
    if failed.get(("teacher", *key)) == now.data:
        return frozenset()
    found = _differences(stored, now)
    if found or stored is None:
        return found
    now = lesson.fingerprints(student, code, stored.taught)
    if failed.get(("student", *key)) == now.data:
        return frozenset()
    return _differences(store.find("student", *key), now)


def _differences(stored: StoredModel | None, now: Fingerprints) -> frozenset[Cause]:
    if stored is None:
        return frozenset({Cause.UNTRAINED})
    compared = (Cause.DATA, Cause.PARAMETERS, Cause.CODE)
    made_from = stored.record.fingerprints
    return frozenset(cause for cause in compared if getattr(made_from, cause) != getattr(now, cause))
