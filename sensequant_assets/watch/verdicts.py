"""The verdict on a batch that has ended, as a whole."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sensequant_assets.core.outcome import Verdict
from sensequant_assets.core.parameters import ModelKind
from sensequant_assets.telemetry.questions.batches import EndedBatch

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
        verdict = Verdict.of(row["model"], row, batch.max_failure_rate)
        if not verdict.attempted and any(teachers.exceeded for teachers in verdicts.values()):
            verdict = replace(verdict, blocked="No student was trained: too many teachers failed in this batch.")
        verdicts[verdict.model] = verdict
    return verdicts
