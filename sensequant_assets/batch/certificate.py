"""The certificate of a batch: every number of its report computed again from bars and models, and what differs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.batch.evaluation import Subject, gather
from sensequant_assets.batch.examination import examine, fingerprint
from sensequant_assets.batch.made_with import code, judging
from sensequant_assets.batch.noise import noise_of_batch
from sensequant_assets.batch.recorded import Found, Shelf, Told, told_of
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import trees_fingerprint, trees_of
from sensequant_assets.core.judging.bootstrap import or_null
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.outcome import COUNTED, Verdict
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.core.training import TREE_METRICS, Lesson
from sensequant_assets.errors import UsageError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.pools import StoredPool
from sensequant_assets.models.store import ModelRecord, ModelStore, StoredModel
from sensequant_assets.telemetry.auditing import audit
from sensequant_assets.telemetry.questions.batches import batch, later_batches
from sensequant_assets.telemetry.questions.trials import Evaluated, latest_evaluation
from sensequant_assets.telemetry.questions.verdicts import verdicts_to_check
from sensequant_assets.telemetry.questions.windows import last_rows, other_trees
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import brief, counted

if TYPE_CHECKING:
    import lightgbm as lgb

TOLERANCE = 1e-9
"""Relative difference up to which two numbers are the same: other processors add in another order."""

_BOOSTERS = 16

NOT_COVERED = (
    "Models are not trained again: that their trees come of their rows, LightGBM's determinism says.",
    "Soft targets of TEACHER_SCOPE=symbol, noise twins, canaries and probes for leaks, which all are trained for, "
    "stand as they were told.",
    "Durations and the clock's times cannot be computed again; they are compared with the shards.",
    "Findings of the rules on bars and the coverage are compared with the shards.",
)
"""What a certificate does not say, in sentences."""

_Row = Mapping[str, Any]
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What became of the verification of a batch.

    Attributes
    ----------
    batch_id
        The batch.
    differences
        What is not what it was, in sentences that name it.
    unverifiable
        What cannot be verified, and why.
    remarks
        What is to be said besides.
    checked
        How many of each kind of thing were compared.
    """

    batch_id: str
    differences: Sequence[str]
    unverifiable: Sequence[str]
    remarks: Sequence[str]
    checked: Mapping[str, int]

    @property
    def verified(self) -> bool:
        """Whether everything was verified, and nothing differs."""
        return not self.differences and not self.unverifiable

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "batch_id": self.batch_id,
            "verified": self.verified,
            "differences": list(self.differences),
            "unverifiable": list(self.unverifiable),
            "remarks": list(self.remarks),
            "checked": dict(self.checked),
            "not_covered": list(NOT_COVERED),
        }


def certify(telemetry: TelemetryStore, batch_id: str, models: ModelStore, features: str, tell: Tell) -> Certificate:
    """Verify a batch.

    Parameters
    ----------
    telemetry
        Of the data directory.
    batch_id
        The batch.
    models
        Models of its universe.
    features
        Providers of the features, as of `Settings`.
    tell
        Called with what is verified, how much of it is, and of how much.

    Raises
    ------
    UsageError
        The batch is running, or telemetry does not know it or what it was run with.
    """
    if batch(telemetry, batch_id)["status"] == "running":
        raise UsageError(f"Batch {batch_id} is running. Verify it when it is over.")
    found = Found()
    audited = audit(telemetry, batch_id, lambda done, total: tell("rows of telemetry", done, total))
    found.differences += audited.differences
    found.remarks += audited.remarks
    found.checked |= {f"rows of {table}": rows for table, rows in audited.rows.items() if rows}
    if audited.missing:
        found.unverifiable.append(
            f"{counted(len(audited.missing), 'shard')} of the batch are no longer kept, so that its rows in telemetry "
            f"can be compared with nothing: {audited.missing[0]}."
        )
    _verdicts(telemetry, batch_id, found)
    subject = Subject.of_batch(telemetry, batch_id)
    inspection = Inspection(telemetry, subject, models, found)
    inspection.files(lambda done, total: tell("models on disk", done, total))
    told = told_of(telemetry, subject)
    shelf = Shelf(telemetry, subject, features, found)
    tell("bars", 0, 1)
    market = shelf.market(told)
    shelf.tables(told, market, lambda done, total: tell("tables of bars and features", done, total))
    if market is not None:
        inspection.numbers(market, told, lambda done, total: tell("predictions and metrics", done, total))
    _evaluation(telemetry, subject, models, shelf, found, tell)
    return Certificate(
        batch_id,
        found.differences,
        list(dict.fromkeys(found.unverifiable)),
        list(dict.fromkeys(found.remarks)),
        found.checked,
    )


def _verdicts(telemetry: TelemetryStore, batch_id: str, found: Found) -> None:
    """Judge the rows of windows again by the very rule of the check."""
    for row in verdicts_to_check(telemetry, batch_id):
        whole, where = row["run_id"] == "", f"verdicts (run_id {row['run_id']}, model {row['model']})"
        if whole and row["later"]:
            found.remarks.append(f"{where} is older than some attempts at windows, and is not compared with these.")
            continue
        counts = {name: row[f"rows_{name}"] for name in COUNTED if name != "not_attempted"}
        verdict = Verdict.of(row["model"], counts | {"not_attempted": row["not_attempted"]}, row["max_failure_rate"])
        # What else forbade its windows is no number of theirs.
        blocked = not verdict.attempted and not row["passed"]
        again = counts | {"failure_rate": verdict.failure_rate} | ({} if blocked else {"passed": verdict.passed})
        _compare(found, where, {name: row[name] for name in again}, again)
        found.count("verdicts")


@dataclass(frozen=True)
class Inspection:
    """Models of a batch, and what their records and rows say of them.

    Parameters
    ----------
    telemetry, subject, models
        Of the batch.
    found
        Takes what is found.
    """

    telemetry: TelemetryStore
    subject: Subject
    models: ModelStore
    found: Found
    _stored: dict[tuple[str, str, str], StoredModel] = field(default_factory=dict)
    _pools: dict[tuple[str, str], StoredPool | None] = field(default_factory=dict)
    _trees: dict[str, str] = field(default_factory=dict)
    _boosters: "dict[str, lgb.Booster]" = field(default_factory=dict)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of all windows, by symbol and window."""
        return last_rows(self.telemetry, self.subject.batch_id)

    @cached_property
    def _others(self) -> Mapping[tuple[str, str, str, str], str]:
        return other_trees(self.telemetry, self.subject.batch_id)

    @cached_property
    def _is_last(self) -> bool:
        return not later_batches(self.telemetry, self.subject.batch_id)

    def files(self, tell: Callable[[int, int], None]) -> None:
        """Hold every model and record of the batch against its digest, its seal, its trees and its row."""
        with_model = [row for row in self.rows if row["trees_fingerprint"]]
        for number, row in enumerate(with_model):
            self._file(row)
            tell(number + 1, len(with_model))

    def _file(self, row: _Row) -> None:
        key = _key(row)
        try:
            stored = self.models.read(*key)
        except WindowError as error:
            self.found.differences.append(str(error))
            return
        if stored is None:
            self.found.unverifiable.append(f"The {_named(row)} is not on disk any longer.")
            return
        record = stored.record
        if record.trees_fingerprint != row["trees_fingerprint"]:
            other = self._others.get((*key, record.trees_fingerprint))
            said = f"The {_named(row)} on disk has other trees than the batch's"
            if other is None:
                self.found.differences.append(f"{said}, and no batch has told of them.")
            else:
                self.found.unverifiable.append(f"{said}: batch {other} has trained it again.")
            return
        self.found.count(f"{key[0]}s")
        self._trees_of(stored)
        made_from = record.fingerprints
        _compare(
            self.found,
            f"window_runs ({_named(row)})",
            {name: row[name] for name in _OF_RECORD},
            {
                "data_fingerprint": made_from.data,
                "parameters_fingerprint": made_from.parameters,
                "code_fingerprint": made_from.code,
                "constant": record.constant,
                "effective_end": record.effective_end,
                "served_by": record.served_by,
                "train_rows": record.rows.train,
            },
        )
        self._stored[key] = stored
        if record.pool:
            self._pool_files(record)

    def _trees_of(self, stored: StoredModel | StoredPool) -> None:
        """Compare the trees of a text with what its record says of them."""
        digest = stored.record.model_digest
        if digest not in self._trees:
            self._trees[digest] = trees_fingerprint(stored.text())
        if self._trees[digest] != stored.record.trees_fingerprint:
            self.found.differences.append(f"{stored.path} has other trees than its record says.")

    def _pool_files(self, record: ModelRecord) -> None:
        """Hold the models of a pool against their digests, and its trees against those of a pair that it teaches."""
        kind = "pool" if record.model == "teacher" else "shared_student"
        if record.model == "student" and self.subject.student.scope != "pool":
            return
        if (place := (kind, record.pool or "")) in self._pools:
            return
        self._pools[place] = None
        try:
            stored = self.models.pools.read("pool" if kind == "pool" else "shared_student", place[1])
        except WindowError as error:
            self.found.differences.append(str(error))
            return
        if stored is None:
            self.found.unverifiable.append(f"The {kind.replace('_', ' ')} {place[1]} is not on disk any longer.")
        elif stored.record.trees_fingerprint != record.trees_fingerprint:
            said = f"{stored.path} has other trees than the {record.model}s that it teaches"
            where = self.found.differences if self._is_last else self.found.unverifiable
            where.append(f"{said}." if self._is_last else f"{said}: a later batch has trained it again.")
        else:
            self._trees_of(stored)
            self.found.count(f"{kind.replace('_', ' ')}s")
            self._pools[place] = stored

    def numbers(self, market: Market, told: Told, tell: Callable[[int, int], None]) -> None:
        """Compute fingerprints, predictions and metrics of every window again from bars and models."""
        if told.judging not in ("", judging()):
            self.found.unverifiable.append(
                "The batch was judged by other code than this version has: the version that its row of batches names "
                "can compute its metrics again."
            )
            return
        others = Others()
        for number, row in enumerate(self.rows):
            try:
                self._window(row, market, others)
            except WindowError as error:
                self.found.differences.append(f"The {_named(row)} cannot be made of the bars: {error}")
            tell(number + 1, len(self.rows))
        if others.by_other_code:
            self.found.unverifiable.append(
                f"{counted(others.by_other_code, 'model')} were made with other code than this version has, and their "
                "rows come out differently by this one: verify the batch with the version that made it."
            )
        if others.judged_anew:
            self.found.remarks.append(
                f"{counted(others.judged_anew, 'record')} were judged again by a later batch, on other test rows or by "
                "other code; their rows in telemetry are compared with what bars and trees give."
            )

    def _window(self, row: _Row, market: Market, others: "Others") -> None:
        pair = market.pair(row["symbol"], str(row["window_start"]))
        if row["outcome"] == "skipped":
            again = {"outcome": "eligible" if pair.eligible else "skipped", "reason": pair.reason and str(pair.reason)}
            _compare(self.found, f"window_runs ({_named(row)})", {name: row[name] for name in again}, again)
            self.found.count("skipped windows")
        elif (stored := self._stored.get(_key(row))) is not None:
            self._model(row, stored, pair, market, others)

    def _model(self, row: _Row, stored: StoredModel, pair: Pair, market: Market, others: "Others") -> None:
        record, where = stored.record, f"window_runs ({_named(row)})"
        lesson = market.lesson(pair, judging())
        teacher = self._stored.get(("teacher", *_key(row)[1:])) if record.model == "student" else None
        if record.model == "student" and teacher is None:
            return
        taught = None if teacher is None else teacher.taught
        asked = self.subject.teacher if taught is None else self.subject.student
        made_from = lesson.fingerprints(asked, record.fingerprints.code, taught)
        if made_from.data != row["data_fingerprint"] and record.fingerprints.code != code():
            others.by_other_code += 1
            return
        again: dict[str, Any] = {
            "data_fingerprint": made_from.data, "parameters_fingerprint": made_from.parameters,
            "effective_start": pair.effective_start, "early_life": pair.early_life, "open": pair.open,
            **{f"{name}_rows": count for name, count in lesson.row_counts.items()},
        }  # fmt: skip
        _compare(self.found, where, {name: row[name] for name in again}, again)
        unseen = self._unseen(lesson, stored)
        if record.tested_on == lesson.tested_on:
            self._predictions(stored, unseen)
            _compare(self.found, f"{stored.path.name} of the {_named(row)}", record.metrics, row["metrics"])
        else:
            others.judged_anew += 1
        if record.pool and record.model == "teacher":
            self._soft_targets(stored, pair, market)
        scores = lesson.scores(
            unseen,
            soft_targets=stored.soft_targets if record.model == "teacher" else None,
            teacher_unseen=None if teacher is None else self._unseen(lesson, teacher),
            calibration=record.calibration,
        )
        trees = trees_of(stored.text())
        grown = dict(
            zip(TREE_METRICS, map(float, (trees.count, trees.largest_leaves, trees.largest_depth)), strict=True)
        )
        known = {name: or_null(value) for name, value in (scores | grown).items()}
        _compare(self.found, f"{where}, metrics", row["metrics"], known)

    def _unseen(self, lesson: Lesson, stored: StoredModel) -> Floats:
        import lightgbm as lgb

        digest = stored.record.model_digest
        if digest not in self._boosters:
            if len(self._boosters) >= _BOOSTERS:
                self._boosters.clear()
            self._boosters[digest] = lgb.Booster(model_str=stored.text())
        return lesson.unseen(self._boosters[digest])

    def _predictions(self, stored: StoredModel, unseen: Floats) -> None:
        kept = np.array(stored.record.unseen)
        self.found.count("predictions", len(unseen))
        if len(kept) != len(unseen):
            self.found.differences.append(
                f"{stored.path}: the record has {len(kept)} predictions of {len(unseen)} rows."
            )
        elif (others := np.flatnonzero(~np.isclose(kept, unseen, rtol=TOLERANCE, atol=TOLERANCE))).size:
            at = int(others[0])
            self.found.differences.append(
                f"{stored.path}: {len(others):,} of {len(unseen):,} predictions differ; the record has {kept[at]} of "
                f"row {at}, and the model says {unseen[at]}."
            )

    def _soft_targets(self, stored: StoredModel, pair: Pair, market: Market) -> None:
        """Compare a teacher's soft targets with those of its pool."""
        pool = self._pools.get(("pool", stored.record.pool or ""))
        if pool is not None:
            span = market.pool_of(pair).spans[pair.symbol, pair.learned_in.window.key]
            if not np.array_equal(pool.soft_targets()[span], stored.soft_targets):
                self.found.differences.append(f"{stored.path}: its soft targets are not those of {pool.path}.")


@dataclass
class Others:
    """How many models were made with other code, and how many records were judged anew since."""

    by_other_code: int = 0
    judged_anew: int = 0


_OF_RECORD = (
    "data_fingerprint", "parameters_fingerprint", "code_fingerprint", "constant", "effective_end", "served_by",
    "train_rows",
)  # fmt: skip


def _evaluation(
    telemetry: TelemetryStore, subject: Subject, models: ModelStore, shelf: Shelf, found: Found, tell: Tell
) -> None:
    """Evaluate the batch again as of its last evaluation, and compare every number."""
    known = latest_evaluation(telemetry, subject.batch_id)
    if known is None:
        found.remarks.append("Nobody has evaluated this batch, so that its report has no walk-forward numbers.")
        return
    head = known.findings["head"]
    if known.subject_fingerprint != fingerprint(subject, head["cost_bp"]):
        found.unverifiable.append(
            f"Evaluation {known.evaluation} is of other models, or was judged by other code, than there are: "
            f"sensequant evaluate --batch {subject.batch_id}"
        )
        return
    told = told_of(telemetry, subject, known.evaluation)
    market = shelf.market(told if told.bars else told_of(telemetry, subject))
    if market is None:
        return
    gathered = gather(subject, market, models, tell=lambda done, total: tell("walk-forward rows", done, total))
    if gathered.remarks != head["remarks"]:
        found.unverifiable.append(
            f"Evaluation {known.evaluation} was of other models than can be relied on: {' '.join(gathered.remarks)}"
        )
        return
    tell("evaluation", 0, 1)
    noise = noise_of_batch(telemetry, subject.batch_id)
    examined = examine(subject, gathered, head["cost_bp"], telemetry, noise=noise, before=known.begun)
    _findings(known, examined.as_json(), found)
    tell("evaluation", 1, 1)


def _findings(known: Evaluated, again: Mapping[str, Any], found: Found) -> None:
    """Compare what an evaluation found, and its trials, with what is found again."""
    kept: Mapping[str, Any] = known.findings
    trials = {name: dict(metrics) for name, metrics in known.metrics.items()}
    if _bands(kept) != _bands(again):
        if any(_bands(kept).values()):
            found.unverifiable.append(
                f"The noise twin of evaluation {known.evaluation} is not the one on disk: its band stands as told."
            )
        kept, again = ({**one, "scores": list(map(_without_band, one["scores"]))} for one in (kept, again))
        trials = {name: _without_band(metrics) for name, metrics in trials.items()}
    _compare(found, f"evaluations (evaluation {known.evaluation}), findings", kept, again)
    scores = {score["score"]: score for score in again["scores"]}
    for name, metrics in trials.items():
        _compare(found, f"trials (evaluation {known.evaluation}, score {name}), metrics", metrics, scores.get(name))
    found.count("scores", len(scores))


def _bands(findings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The noise bands of scores, whatever lies outside of them."""
    ends = ("band_low_sd", "band_high_sd", "band_windows", "band_twins")
    return {
        score["score"]: {name: value for name, value in score.items() if name.endswith(ends)}
        for score in findings["scores"]
    }


def _without_band(score: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in score.items() if "band" not in name and not name.endswith("windows")}


def _key(row: _Row) -> tuple[ModelKind, str, str]:
    return row["model"], row["symbol"], str(row["window_start"])


def _named(row: _Row) -> str:
    return f"{row['model']} {row['symbol']} {row['window_start']}"


def _compare(found: Found, where: str, told: Any, again: Any) -> None:
    """Note where what is kept is not what comes of computing it again."""
    for place, kept, computed in _differing(told, again):
        path = f", {place.lstrip('.')}" if place else ""
        found.differences.append(f"{where}{path}: {_said(kept)} is kept, and {_said(computed)} comes of it again.")
    found.count("numbers", _numbers(told))


def _differing(told: Any, again: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(told, Mapping) and isinstance(again, Mapping):
        for name in [*told, *(name for name in again if name not in told)]:
            yield from _differing(told.get(name, _ABSENT), again.get(name, _ABSENT), f"{place}.{name}")
    elif _is_list(told) and _is_list(again) and len(told) == len(again):
        for number, (one, other) in enumerate(zip(told, again, strict=True)):
            yield from _differing(one, other, f"{place}[{number}]")
    elif not _same(told, again):
        yield place, told, again


_ABSENT = "no value"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(told: Any, again: Any) -> bool:
    if isinstance(told, float) or isinstance(again, float):
        both = isinstance(told, int | float) and isinstance(again, int | float)
        return both and math.isclose(told, again, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(told == again) or (told is not None and again is not None and str(told) == str(again))


def _numbers(told: Any) -> int:
    """How many numbers there are."""
    if isinstance(told, Mapping):
        return sum(map(_numbers, told.values()))
    if _is_list(told):
        return sum(map(_numbers, told))
    return isinstance(told, int | float) and not isinstance(told, bool)


def _said(value: Any) -> str:
    return brief("nothing" if value is None else value)
