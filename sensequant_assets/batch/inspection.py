"""Models of a batch on disk: held against their digests, their rows, and what bars and trees give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sensequant_assets.batch.comparing import TOLERANCE, Found, compare
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.made_with import code, judging
from sensequant_assets.batch.recorded import Told
from sensequant_assets.core.bars import Floats
from sensequant_assets.core.boosting import trees_fingerprint, trees_of
from sensequant_assets.core.judging.bootstrap import or_null
from sensequant_assets.core.lattice import Pair
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.core.training import TREE_METRICS, Lesson
from sensequant_assets.errors import WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.pools import StoredPool
from sensequant_assets.models.store import ModelRecord, ModelStore, StoredModel
from sensequant_assets.telemetry.questions.batches import later_batches
from sensequant_assets.telemetry.questions.windows import last_rows, other_trees
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

if TYPE_CHECKING:
    import lightgbm as lgb

_BOOSTERS = 16

_Row = Mapping[str, Any]


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
        compare(
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
            compare(self.found, f"window_runs ({_named(row)})", {name: row[name] for name in again}, again)
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
        compare(self.found, where, {name: row[name] for name in again}, again)
        unseen = self._unseen(lesson, stored)
        if record.tested_on == lesson.tested_on:
            self._predictions(stored, unseen)
            compare(self.found, f"{stored.path.name} of the {_named(row)}", record.metrics, row["metrics"])
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
        compare(self.found, f"{where}, metrics", row["metrics"], known)

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


def _key(row: _Row) -> tuple[ModelKind, str, str]:
    return row["model"], row["symbol"], str(row["window_start"])


def _named(row: _Row) -> str:
    return f"{row['model']} {row['symbol']} {row['window_start']}"
