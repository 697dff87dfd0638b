"""What an evaluation found of a batch, for a command that shows it."""

from collections.abc import Mapping
from typing import Any

from sensequant_assets.batch.backtesting import backtest_findings
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.examination import findings_of
from sensequant_assets.cli.evaluate import evaluated
from sensequant_assets.errors import SenseQuantError
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.questions.batches import batch
from sensequant_assets.telemetry.store import TelemetryStore


def findings_or_why(telemetry: TelemetryStore, batch_id: str) -> tuple[Mapping[str, Any] | None, str]:
    """What is to be found of a batch, evaluated now where nobody has since it changed; else why nothing is.

    No noise twin is trained for it: that takes as long as a batch.

    Parameters
    ----------
    telemetry
        Where what was found before lies.
    batch_id
        The batch.

    Returns
    -------
    tuple
        As `Examination.as_json`, or None and a sentence with the way out.
    """
    settings, command = read_settings(), f"sensequant evaluate --batch {batch_id}"
    if batch(telemetry, batch_id)["status"] == "running":
        return None, f"The batch is running. When it is over: {command}"
    try:
        subject = Subject.of_batch(telemetry, batch_id)
        known = findings_of(telemetry, subject, settings.cost_bp)
        if known is None:
            market = Market.open(subject.settings, subject.teacher, subject.student, settings.features)
            kept_twin = settings.model_copy(update={"noise_windows": 0})
            known = evaluated(subject, market, telemetry, kept_twin).as_json()
    except SenseQuantError as error:
        return None, f"This batch cannot be evaluated: {error} What `{command}` can find, stands here afterwards."
    return known, ""


def backtest_or_none(telemetry: TelemetryStore, batch_id: str) -> Mapping[str, Any] | None:
    """What the last backtest of a batch as it is found; None where there is none."""
    try:
        return backtest_findings(telemetry, Subject.of_batch(telemetry, batch_id))
    except SenseQuantError:
        # What it was run with is not known, which the section on skill says.
        return None
