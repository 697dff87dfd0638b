"""What a briefing about a batch stands on, put together from one batch or not at all."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from sensequant_assets.batch.backtesting import backtest_fingerprint
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.examination import fingerprint
from sensequant_assets.batch.made_with import judging
from sensequant_assets.batch.noise import noise_of_batch
from sensequant_assets.batch.promotion import Challenge, Places, challenge
from sensequant_assets.batch.serving import unproven
from sensequant_assets.batch.stress import stress
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.sealed import Sealed, digest, write
from sensequant_assets.report.briefing import briefing_paths, markdown
from sensequant_assets.report.briefing import page as drawn_page
from sensequant_assets.report.facts import (
    Cause,
    Report,
    failures_by_cause,
    headline,
    noise_said,
    read_report,
    skips_by_reason,
)
from sensequant_assets.report.page import write_text
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.questions.batches import batch
from sensequant_assets.telemetry.questions.sources import (
    KeptEvaluation,
    Source,
    kept_evaluations,
    source_of_findings,
    sources,
)
from sensequant_assets.telemetry.questions.trials import latest_findings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted


class BriefingRecord(Sealed):
    """A briefing as it was written: what it stands on, and digests of its page and of its text."""

    facts: dict[str, JsonValue]
    page: str
    text: str


def brief(
    subject: Subject,
    market: Market,
    places: Places,
    *,
    settings: Settings,
    at: datetime,
    before: datetime | None = None,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Put together what is to be known of a batch before its students serve.

    Parameters
    ----------
    subject, market
        The batch, and its market, open.
    places
        Where its models, champions and telemetry lie.
    settings
        Providers of the features, costs of a round trip of the evaluation that is meant, and how a stress test is made.
    at
        When the briefing is written.
    before
        Time from which on no trial counts; None for all.
    tell
        Called with how many symbols are read, and of how many.

    Returns
    -------
    dict
        As `report.briefing` takes it, all JSON values.

    Raises
    ------
    UsageError
        An input is missing, or is of other models than the batch has: a briefing of several batches would be of none.
    """
    telemetry, batch_id = places.telemetry, subject.batch_id
    if batch(telemetry, batch_id)["status"] == "running":
        raise UsageError(f"Batch {batch_id} is running. Brief it when it is over.")
    kept = kept_evaluations(telemetry, batch_id)
    evaluation = _evaluation(subject, settings.cost_bp, kept)
    tested = _backtest(subject, kept)
    findings = latest_findings(telemetry, batch_id, evaluation.subject_fingerprint) or {}
    how: dict[str, Any] = {"features": settings.features, "cost_bp": settings.cost_bp}
    made = challenge(subject, market, places, **how, tell=tell, before=before)
    _require_one_batch(made, findings)
    backtest = None if tested is None else latest_findings(telemetry, batch_id, tested.subject_fingerprint)
    asked = _sources(made, evaluation, tested, telemetry)
    about = {
        "batch_id": batch_id, "universe": subject.settings.universe_name, "made_at": at.isoformat(timespec="seconds"),
        "label": subject.settings.label, "horizon": subject.settings.horizon, "evaluation": evaluation.evaluation,
    }  # fmt: skip
    shown = _shown(places, batch_id, findings, backtest)
    found = {"promotion": made.as_json(), "findings": findings, "backtest": backtest}
    return about | found | shown | {"stress": _stress(made, places, settings), "sources": asked}


_STRESSED_WITH = (
    "stress_periods", "stress_max_drawdown", "stress_min_answered", "stress_max_change", "top", "cost_bp", "price_band",
)  # fmt: skip


def _stress(made: Challenge, places: Places, settings: Settings) -> dict[str, Any]:
    """What a stress test of the batch comes to now, because none is kept; why there is none where there can be none."""
    known = ~np.isnan(made.student.raw)
    told = {name: getattr(settings, name) for name in _STRESSED_WITH}
    try:
        standing = unproven(made.subject, made.market, places.models)
        found = stress(standing, (made.rows.where(known), made.student.raw[known]), settings)
    except UsageError as error:
        return {"why": str(error), "settings": told}
    return found.as_json() | {"said": str(found), "settings": told}


def _shown(
    places: Places, batch_id: str, findings: Mapping[str, Any], backtest: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the report of a batch knows besides."""
    noise = noise_of_batch(places.telemetry, batch_id)
    report = read_report(places.telemetry, batch_id, findings=findings, noise=noise, backtest=backtest)
    return {
        "training": _training(report),
        "noise": noise_said(report) if noise else [],
        "canaries": report.canaries,
        "data": _data(report),
    }


def _sources(
    made: Challenge, evaluation: KeptEvaluation, tested: KeptEvaluation | None, telemetry: TelemetryStore
) -> dict[str, dict[str, str]]:
    """Where numbers come from, by name."""
    batch_id = made.subject.batch_id
    stressed = Source(f"sensequant stress --batch {batch_id} --json", batch_id, made.trees)
    asked = sources(telemetry, batch_id) | {"rule": _rule(made), "stress": stressed}
    asked["evaluation"] = source_of_findings(telemetry, batch_id, evaluation.evaluation)
    if tested:
        asked["backtest"] = source_of_findings(telemetry, batch_id, tested.evaluation)
    return {name: source.as_json() for name, source in asked.items()}


def _evaluation(subject: Subject, cost_bp: float, kept: list[KeptEvaluation]) -> KeptEvaluation:
    """The last evaluation of the models that the batch has."""
    meant = fingerprint(subject, cost_bp)
    found = next((one for one in kept if one.subject_fingerprint == meant), None)
    if found is None:
        others = [one for one in kept if not one.of_portfolio]
        why = (
            f"Evaluation {others[0].evaluation} of batch {subject.batch_id} is of other models, costs or code than the "
            "batch has"
            if others
            else f"Nobody has evaluated batch {subject.batch_id}"
        )
        raise UsageError(
            f"{why}, and a briefing has nothing to stand on: sensequant evaluate --batch {subject.batch_id}"
        )
    return found


def _backtest(subject: Subject, kept: list[KeptEvaluation]) -> KeptEvaluation | None:
    """The last backtest of the models that the batch has; None where nobody has made one."""
    last = next((one for one in kept if one.of_portfolio), None)
    if last is not None and last.subject_fingerprint != backtest_fingerprint(subject):
        raise UsageError(
            f"Backtest {last.evaluation} of batch {subject.batch_id} is of other models or code than the batch has, "
            f"and does not belong into one briefing with its evaluation: sensequant backtest {subject.batch_id}"
        )
    return last


def _require_one_batch(made: Challenge, findings: Mapping[str, Any]) -> None:
    """Refuse models that are not all of the batch, and an evaluation of others than those."""
    batch_id = made.subject.batch_id
    if made.lost:
        raise UsageError(
            f"{counted(made.lost, 'model')} of batch {batch_id} are gone or were trained again by a later batch, so "
            "that the rest is not the batch. Brief the later one."
        )
    told = findings["head"]["remarks"]
    if list(made.remarks[: len(told)]) != told or findings["head"]["rows"] != len(made.rows):
        raise UsageError(
            f"The evaluation of batch {batch_id} is of {findings['head']['rows']:,} rows, and there are "
            f"{len(made.rows):,} by now: sensequant evaluate --batch {batch_id}"
        )


def _rule(made: Challenge) -> Source:
    """Where conditions of the promotion come from: no question to telemetry, but the same rule on the same rows."""
    batch_id = made.subject.batch_id
    digest = parameters_fingerprint({"trees": made.trees, "judging": judging(), "shows": made.as_json()})
    return Source(f"sensequant promote --batch {batch_id} --dry-run --json", batch_id, digest)


def _training(report: Report) -> dict[str, Any]:
    """What became of the batch's windows."""
    head = headline(report)
    return {
        "word": head.word,
        "sentences": list(head.sentences),
        "models": [
            {"model": model.model, "planned": model.planned, **model.counts, "constant": model.constant}
            for model in report.models
        ],
        "failures": list(map(_cause, failures_by_cause(report))),
        "skips": list(map(_cause, skips_by_reason(report))),
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {"name": cause.name, "models": dict(cause.models), "example": cause.example, "advice": cause.advice}


def _data(report: Report) -> dict[str, Any]:
    """What is known of the bars."""
    rules = Counter((one["severity"], one["rule"]) for one in report.bars)
    covered = report.coverage
    return {
        "rules": [{"severity": severity, "rule": rule, "findings": n} for (severity, rule), n in sorted(rules.items())],
        "errors": sum(one["severity"] == "error" for one in report.bars),
        "warnings": sum(one["severity"] != "error" for one in report.bars),
        "examples": [one["message"] for one in report.bars[:3]],
        "coverage": None
        if covered is None
        else {
            "symbols": len(covered.symbols),
            "empty": covered.empty,
            "first": covered.months[0],
            "last": covered.months[-1],
            "missing": sum(one.missing for one in covered.symbols.values()),
            "sessions": sum(sum(one.sessions) for one in covered.symbols.values()),
        },
    }


def write_briefing(facts: Mapping[str, Any], data_dir: Path) -> tuple[Path, Path]:
    """Write page and text of a briefing, and the record of what they stand on; gives the first two.

    Raises
    ------
    UsageError
        They cannot be written.
    """
    page, text, record = briefing_paths(data_dir, facts["batch_id"])
    write_text(html := drawn_page(facts), page)
    write_text(plain := markdown(facts), text)
    kept = BriefingRecord(facts=dict(facts), page=digest(html.encode()), text=digest(plain.encode()))
    write(record, kept.sealed())
    return page, text
