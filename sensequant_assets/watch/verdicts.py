"""The verdict on a batch that has ended, as a whole."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sensequant_assets.core.outcome import Verdict
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.telemetry.questions.batches import EndedBatch, batch_summary
from sensequant_assets.telemetry.questions.verdicts import models_judged
from sensequant_assets.telemetry.store import TelemetryStore

LOOK_BACK = timedelta(days=1)
"""How old the end of a batch may be that a sensor still acts on: switched on after a pause, it digs up no history."""


def judge_whole(batch: EndedBatch, counts: Iterable[Mapping[str, Any]]) -> dict[ModelKind, Verdict]:
    """Judge all runs of a batch together.

    Parameters
    ----------
    batch
        Which one.
    counts
        Its rows of `batch_summary`, teachers first.

    Returns
    -------
    dict of Verdict
        By model, in their order. Students that nobody tried are blamed on the teachers that failed.
    """
    verdicts: dict[ModelKind, Verdict] = {}
    for row in counts:
        stopped = batch.stopped.get(row["model"], "")
        verdict = Verdict.of(row["model"], row, batch.max_failure_rate, limit_by=batch.limit_by, stopped=stopped)
        if not verdict.attempted and any(teachers.exceeded for teachers in verdicts.values()):
            verdict = replace(verdict, blocked="No student was trained: too many teachers failed in this batch.")
        verdicts[verdict.model] = verdict
    return verdicts


def judge_anew(store: TelemetryStore, batch: Mapping[str, Any]) -> dict[ModelKind, Verdict]:
    """Judge by the limit that was set last a batch that has ended and been judged.

    Parameters
    ----------
    store
        Where telemetry lies.
    batch
        As `questions.batches.batch` gives it.

    Returns
    -------
    dict of Verdict
        By model, teachers first; empty where the verdict is still to come, which will be by that limit.
    """
    batch_id = batch["batch_id"]
    counts = batch_summary(store, batch_id)
    own = batch["backfill_id"] is None and models_judged(store, batch_id) >= {row["model"] for row in counts}
    if batch["status"] == "running" or not (batch["judged"] or own):
        return {}
    ended = EndedBatch(
        batch_id,
        runs=batch["runs"],
        max_failure_rate=batch["max_failure_rate"],
        superseded=False,
        unspoken=False,
        limit_by=batch["limit_by"],
        stopped=batch["stopped"],
    )
    return judge_whole(ended, counts)
