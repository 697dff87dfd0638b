"""The sensor `new_predictions`: lets the champion predict when bars have changed."""

import dagster as dg

from sensequant_assets.batch.prediction import newest_bars
from sensequant_assets.batch.serving import NoChampionError, content_of, of_champion
from sensequant_assets.defs.jobs import PREDICTION, TRAINING
from sensequant_assets.defs.names import SOURCE_TAG
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.sources.sample import SAMPLE

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


def new_predictions_sensor(desk: Desk) -> dg.SensorDefinition:
    """The sensor of a market."""
    settings = desk.settings
    champions = ChampionStore(settings.champions_dir, settings.universe_name)
    content = content_of(settings, champions)

    @dg.sensor(
        name="new_predictions",
        job=PREDICTION,
        minimum_interval_seconds=settings.sensor_interval_s,
        description="Lets the champion predict the newest day when files of the bars directory are added or change, by "
        "content, or when another champion serves; then fills outcomes and monitors. Waits while models are trained.",
    )
    def new_predictions(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if settings.bars == SAMPLE:
            return dg.SensorResult(skip_reason="The embedded sample never changes; watch files with SENSEQUANT_BARS.")
        if context.instance.get_runs(dg.RunsFilter(job_name=TRAINING.name, statuses=_UNFINISHED), limit=1):
            return dg.SensorResult(skip_reason="Models are being trained: predictions wait for the end of that.")
        seen = content()
        if context.cursor == seen:
            return dg.SensorResult(skip_reason="The champion has predicted from these bars.")
        try:
            standing = of_champion(settings, champions, settings.features)
        except NoChampionError as error:
            return dg.SensorResult(skip_reason=str(error))
        day = newest_bars(standing.market, standing.market.universe.symbols).day.isoformat()
        request = dg.RunRequest(run_key=f"predictions-{seen}", partition_key=day, tags={SOURCE_TAG: "sensor"})
        return dg.SensorResult(run_requests=[request], cursor=seen)

    return new_predictions
