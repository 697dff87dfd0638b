"""The asset `champions`: who serves a universe; promoted and rolled back from the UI as from the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.promotion import Challenge, Places, challenge, promote
from sensequant_assets.batch.remote import settled
from sensequant_assets.defs.names import CHAMPIONS, SERVING_GROUP, WALK_FORWARD
from sensequant_assets.defs.resources import MarketResource, with_default
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import Champion, ConditionRecord
from sensequant_assets.report.page import briefing_path, default_path
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.questions.batches import latest_batch_of
from sensequant_assets.text import printable

_RANK_IC, _BRIER = "rank_ic", "brier"


def champions_asset(settings: Settings, pool: str | None = None) -> dg.AssetsDefinition:
    """The asset `champions`.

    Parameters
    ----------
    settings
        The costs of a round trip, as the Launchpad's default.
    pool
        Concurrency pool of its runs; None for runs that wait for nobody.
    """

    class Config(dg.Config):
        """What is to be done."""

        action: Literal["promote", "rollback"] = Field(
            "promote", description="Let the students of a batch serve if they show enough, or an earlier version again."
        )
        batch: str = Field("", description="Batch to promote; the latest with students unless given.")
        to: int = Field(0, ge=0, description="Version to bring back; 0 is the one before.")
        cost_bp: float = with_default(Settings.model_fields["cost_bp"], settings.cost_bp)

    @dg.asset(
        name=CHAMPIONS,
        group_name=SERVING_GROUP,
        kinds={"numpy"},
        pool=pool,
        deps=[dg.AssetDep(WALK_FORWARD, partition_mapping=dg.AllPartitionMapping())],
        description="The students that serve. The Launchpad's config says which batch is promoted or which version is "
        "brought back; a run whose batch does not pass the rule fails, names every condition in numbers, and changes "
        "nothing.",
    )
    def champions(
        context: dg.AssetExecutionContext, config: Config, market: dg.ResourceParam[MarketResource]
    ) -> dg.MaterializeResult[None]:
        by, store = f"run {context.run.run_id}", market.champions
        with settled(settings, context.log.warning, alone=True):
            if config.action == "rollback":
                current = store.current()
                champion = store.rollback(
                    config.to or None, against=current.version if current else None, by=by, at=utc_now()
                )
            else:
                champion = _promoted(market, config.batch, config.cost_bp, by)
        return dg.MaterializeResult(metadata=_metadata(market, champion, store.history()))

    return champions


def subject_of(market: MarketResource, batch_id: str) -> Subject:
    """A batch of a market's universe, the latest with students unless one is named.

    Raises
    ------
    UsageError
        There is none, or it is of another universe.
    """
    universe, telemetry = market.settings.universe_name, market.telemetry
    found = batch_id or latest_batch_of(telemetry, universe, "student")
    if found is None:
        raise UsageError(f"Universe {universe} has no batch with students yet.")
    subject = Subject.of_batch(telemetry, found)
    if subject.settings.universe_name != universe:
        raise UsageError(f"Batch {found} is of universe {subject.settings.universe_name}, and not of {universe}.")
    return subject


def _promoted(market: MarketResource, batch_id: str, cost_bp: float, by: str) -> Champion:
    subject, telemetry = subject_of(market, batch_id), market.telemetry
    opened = Market.open(subject.settings, subject.teacher, subject.student, market.features)
    places = Places(market.models, market.champions, telemetry)
    made = challenge(subject, opened, places, features=market.features, cost_bp=cost_bp)
    if made.serves and made.incumbent:
        return made.incumbent
    if not made.found.passed:
        raise _refusal(made, market.data_dir)
    return promote(made, places, by=by, at=utc_now())


def _refusal(made: Challenge, data_dir: Path) -> dg.Failure:
    failed = " ".join(map(str, made.found.failed))
    conditions = [ConditionRecord(**each.as_json()) for each in made.found.conditions]
    told: dict[str, Any] = {"conditions": _conditions(conditions), "remarks": printable(" ".join(made.remarks))}
    return dg.Failure(
        printable(f"Batch {made.subject.batch_id} is not promoted: {failed}"),
        metadata=told | pages_of(data_dir, made.subject.batch_id),
        allow_retries=False,
    )


def _metadata(market: MarketResource, champion: Champion, history: Sequence[Champion]) -> dict[str, Any]:
    directory, evidence = market.champions.directory.resolve(), champion.evidence
    found: dict[str, Any] = {
        "version": champion.version,
        "standing": printable(champion.standing),
        "batch": champion.batch_id,
        "scope": champion.scope,
        "dates": evidence.dates,
        "trials": evidence.trials,
        "evidence": _conditions(evidence.conditions),
        "history": dg.MetadataValue.table([dg.TableRecord(_version(each)) for each in reversed(history)]),
        "record": dg.MetadataValue.path(market.champions.path.resolve()),
        "pack": dg.MetadataValue.path(directory / champion.pack),
        "forecasts": dg.MetadataValue.path(directory / champion.forecasts),
        "judged_by": dg.MetadataValue.asset(dg.AssetKey(WALK_FORWARD)),
    }
    for each in evidence.conditions:
        if each.condition in (_RANK_IC, _BRIER) and each.value is not None:
            found[each.condition] = round(each.value, 5)
            found[f"{each.condition}_interval"] = _interval(each)
    found |= pages_of(market.data_dir, champion.batch_id)
    for name, number in (("supersedes", champion.supersedes), ("restores", champion.restores)):
        if number:
            found[name] = number
    if champion.missing:
        found["missing"] = printable(" ".join(champion.missing.values()))
    if evidence.remarks:
        found["remarks"] = printable(" ".join(evidence.remarks))
    return found


def pages_of(data_dir: Path, batch_id: str) -> dict[str, dg.UrlMetadataValue]:
    """Links to the report and the briefing of a batch, as far as they are there."""
    pages = {"report": default_path, "briefing": briefing_path}
    files = {name: path(data_dir.resolve(), batch_id) for name, path in pages.items()}
    return {name: dg.MetadataValue.url(file.as_uri()) for name, file in files.items() if file.is_file()}


def _conditions(conditions: Sequence[ConditionRecord]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "condition": each.wanted,
                    "passed": each.passed,
                    "value": _number(each.value),
                    "interval": _interval(each),
                    "against": _number(each.baseline),
                    "rows": each.rows,
                    "dates": each.dates,
                    "blocks": each.blocks,
                }
            )
            for each in conditions
        ]
    )


def _version(champion: Champion) -> dict[str, Any]:
    rank_ic = next((each for each in champion.evidence.conditions if each.condition == _RANK_IC), None)
    return {
        "version": champion.version,
        "since": f"{champion.promoted_at:%Y-%m-%d %H:%M}",
        "by": printable(champion.by),
        "batch": champion.batch_id,
        "scope": champion.scope,
        "supersedes": champion.supersedes or "-",
        "restores": champion.restores or "-",
        "rank IC": f"{_number(rank_ic.value)} {_interval(rank_ic)}" if rank_ic else "-",
        "dates": champion.evidence.dates,
        "trials": champion.evidence.trials,
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _interval(found: ConditionRecord) -> str:
    return "-" if found.low is None or found.high is None else f"[{found.low:.5f}, {found.high:.5f}]"
