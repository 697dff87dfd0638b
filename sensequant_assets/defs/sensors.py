"""Sensors: new bars, verdicts of whole batches, retries and stalls. All are off until they are switched on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from sensequant_assets.batch import Key, code, utc_now, verdict_record
from sensequant_assets.core.outcome import Verdict
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.windows import build_windows
from sensequant_assets.defs.batches import (
    REPEATS_TAG,
    attempt_of,
    batch_state,
    config_of,
    died_runs,
    fail_dead_runs,
    has_ended,
    pairs_of,
    resources_of,
    runs_of,
)
from sensequant_assets.defs.checks import FAILURES_SHOWN, batch_evaluation
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.models import ASSETS, ATTEMPT_TAG, BATCH_TAG, SOURCE_TAG, identity_of
from sensequant_assets.defs.partitions import choose
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.errors import SenseQuantError, UsageError
from sensequant_assets.home import absolute_market
from sensequant_assets.market import Market
from sensequant_assets.notify import notify
from sensequant_assets.operations import (
    LOOK_BACK,
    Found,
    Intake,
    IntakeCursor,
    batch_basis,
    ended_batches,
    evaluate_batch,
    evaluate_intake,
    evaluate_retries,
    evaluate_stalls,
    failed_windows,
    is_noted,
    note,
    running_batches,
    transient_failures,
)
from sensequant_assets.report import markdown, read_report
from sensequant_assets.settings import Settings
from sensequant_assets.sources.digests import Digests, content_digest
from sensequant_assets.sources.files import bars_files
from sensequant_assets.sources.sample import SAMPLE
from sensequant_assets.staleness import Cause, permanent_failures, stale_pairs
from sensequant_assets.telemetry.journal import Journal, RecordKind
from sensequant_assets.telemetry.store import TelemetryStore

PROBLEMS_SHOWN = 10


class BarsNotTakenError(SenseQuantError, dg.DagsterError):
    """Some bars were not taken; a tick of the sensor fails with it.

    Dagster shows its own errors as they are, and hides those of others behind one that says only which sensor it was.
    """


@dataclass(frozen=True)
class Desk:
    """What every sensor works with.

    Attributes
    ----------
    settings
        Of the market.
    teacher, student
        Parameters of the runs that sensors ask for.
    symbols
        Partitions of the universe's symbols.
    """

    settings: Settings
    teacher: TeacherParameters
    student: StudentParameters
    symbols: dg.DynamicPartitionsDefinition

    @property
    def telemetry(self) -> TelemetryStore:
        """Where telemetry lies."""
        return TelemetryStore(self.settings.data_dir / "telemetry")

    @property
    def universe(self) -> str:
        """Name of the universe."""
        return self.settings.universe.stem

    def tell(self, context: dg.SensorEvaluationContext, batch_id: str, message: str, **details: Any) -> None:
        """Log a message, and post it to the webhook once for a sensor and batch."""
        context.log.error(message)
        identity = f"{context.sensor_name}:{batch_id}"
        telemetry = self.telemetry
        if self.settings.webhook_url is None or is_noted(telemetry, "notified", identity):
            return
        text = {"sensor": context.sensor_name, "batch": batch_id, "message": message, "universe": self.universe}
        if notify(self.settings.webhook_url, text | details, context.log):
            note(telemetry, "notified", identity, message)

    def request(
        self,
        keys: Sequence[Key],
        market: tuple[Sequence[str], Sequence[str]],
        tags: Mapping[str, str],
        run_key: str,
        *,
        config: Mapping[str, Any] | None = None,
        resources: Mapping[str, Mapping[str, Any]] | None = None,
        assets: Sequence[dg.AssetKey] | None = None,
    ) -> dg.RunRequest:
        """Ask for one run of the training job.

        Parameters
        ----------
        keys
            Pairs to train.
        market
            All symbols and all window keys, in the order of their partitions.
        tags, run_key
            Of the run.
        config
            Values of `ModelsConfig` that differ from their defaults.
        resources
            Values of resources by name that differ from theirs.
        assets
            Which models; None for both.
        """
        choice = choose(keys, *market)
        return dg.RunRequest(
            run_key=run_key,
            job_name=TRAINING.name,
            tags={**choice.tags, **tags},
            asset_selection=assets,
            run_config={
                "ops": {"models": {"config": {"pairs": choice.pairs, **(config or {})}}},
                "resources": {name: {"config": dict(values)} for name, values in (resources or {}).items()},
            },
        )


def sensors(desk: Desk) -> list[dg.SensorDefinition]:
    """The four sensors of a market."""
    return [_new_bars(desk), _batch_failure_rate(desk), _retry_transient(desk), _stalled_batch(desk)]


def _new_bars(desk: Desk) -> dg.SensorDefinition:
    settings, digests = desk.settings, Digests()

    @dg.sensor(
        name="new_bars",
        job=TRAINING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="Retrains exactly the windows whose data changed when files of the bars directory are added or "
        "change, by content, or when the universe gains rows. A file that cannot be read fails one tick, which names "
        "it; the others are taken.",
    )
    def new_bars(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if settings.bars == SAMPLE:
            return dg.SensorResult(skip_reason="The embedded sample never changes; watch files with SENSEQUANT_BARS.")
        telemetry, cursor = desk.telemetry, IntakeCursor.parse(context.cursor)
        found = digests.of([*bars_files(Path(settings.bars)), settings.universe])
        market: Market | None = None

        def look() -> Found:
            nonlocal market
            try:
                source = Market.open(settings)
            except UsageError as error:
                return Found((), (str(error),))
            market = source
            stale = stale_pairs(
                market,
                MarketResource.of(settings).models,
                desk.teacher,
                desk.student,
                code(),
                failed=permanent_failures(telemetry, desk.universe),
            )
            problems = list(dict.fromkeys([*market.left_out, *map(str, stale.unreadable.values())]))
            more = len(problems) - PROBLEMS_SHOWN
            shown = [*problems[:PROBLEMS_SHOWN], *([f"And {more} more."] if more > 0 else [])]
            return Found(stale.by(Cause.UNTRAINED, Cause.DATA), tuple(shown))

        intake = evaluate_intake(
            cursor,
            content_digest(found),
            batch_state(context.instance, telemetry, cursor.batch),
            look,
            lambda identity: is_noted(telemetry, "problem", f"{context.sensor_name}:{identity}"),
            settings.retry_limit or 1,
        )
        known = list(context.instance.get_dynamic_partitions(desk.symbols.name or ""))
        new = [symbol for symbol in market.universe.symbols if symbol not in known] if market else []
        if intake.problems:
            return _failed_tick(context, intake)
        requests = []
        if intake.keys:
            assert market is not None  # noqa: S101  # pairs come from a look at it
            batch = str(intake.cursor.batch)
            tags = {BATCH_TAG: batch, SOURCE_TAG: "sensor"}
            requests.append(desk.request(intake.keys, ([*known, *new], market.window_keys), tags, batch))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else intake.reason,
            cursor=intake.cursor.text(),
            dynamic_partitions_requests=[desk.symbols.build_add_request(new)] if new else None,
        )

    def _failed_tick(context: dg.SensorEvaluationContext, intake: Intake) -> dg.SensorResult:
        # Dagster keeps no cursor of a tick that fails: what was told lies in telemetry.
        message = "Some bars were not taken, the others were: " + " ".join(intake.problems)
        note(desk.telemetry, "problem", f"{context.sensor_name}:{intake.cursor.identity}", message)
        desk.tell(context, f"bars {intake.cursor.identity}", message, problems=list(intake.problems))
        raise BarsNotTakenError(message)

    return new_bars


def _batch_failure_rate(desk: Desk) -> dg.SensorDefinition:
    @dg.sensor(
        name="batch_failure_rate",
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="When a batch of several runs has ended, judges all its windows together and records that as "
        "the check's last verdict. A batch of one run has its verdict already.",
    )
    def batch_failure_rate(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        telemetry, judged = desk.telemetry, []
        fail_dead_runs(context.instance, telemetry)
        for batch in ended_batches(telemetry, desk.universe, utc_now()):
            runs = runs_of(context.instance, batch.batch_id)
            if len(runs) < 2 or not has_ended(context.instance, batch.batch_id, runs):
                continue
            verdicts: dict[str, Verdict] = {}
            report = markdown(read_report(telemetry, batch.batch_id))
            for counts in telemetry.batch_summary(batch.batch_id):
                model = counts["model"]
                verdict = evaluate_batch(
                    model, counts, batch.max_failure_rate, teachers=verdicts.get("teacher") if verdicts else None
                )
                verdicts[model] = verdict
                failed = failed_windows(telemetry, batch.batch_id, model, FAILURES_SHOWN)
                silent = len(runs) - batch.runs
                evaluation = batch_evaluation(ASSETS[model], verdict, failed, batch.batch_id, silent, report)
                if not batch.superseded:
                    context.instance.report_runless_asset_event(evaluation)
                if verdict.exceeded:
                    said = str(evaluation.description)
                    desk.tell(context, batch.batch_id, said, failed=verdict.failed, attempted=verdict.attempted)
            # Last, so that a kill before it repeats the verdict and never loses it.
            with Journal(telemetry.shards, batch_id=batch.batch_id, run_id="", clock=utc_now) as journal:
                for verdict in verdicts.values():
                    journal.append(RecordKind.VERDICT, verdict_record(verdict))
            judged.append(batch.batch_id)
        if judged:
            return dg.SkipReason(f"Judged {', '.join(judged)}.")
        return dg.SkipReason("No batch of several runs has ended since.")

    return batch_failure_rate


def _retry_transient(desk: Desk) -> dg.SensorDefinition:
    settings = desk.settings
    windows = [window.key for window in build_windows(settings.start, settings.end, settings.window_days)]

    @dg.sensor(
        name="retry_transient",
        job=TRAINING,
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description="Tries windows again that failed in a way that can pass next time: a time limit, memory or disk, a "
        "source that did not answer; and repeats runs that were killed. At most PARALLEL_RETRY_LIMIT attempts in all, "
        "ever further apart; never bad data or errors of the code.",
    )
    def retry_transient(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        telemetry, now = desk.telemetry, utc_now()
        fail_dead_runs(context.instance, telemetry)
        order = list(context.instance.get_dynamic_partitions(desk.symbols.name or ""))
        requests, waiting = _repeats(context, order)
        # Transient failures of a run that is repeated are tried again with it.
        repeated = {request.tags[BATCH_TAG] for request in requests} | set(waiting)
        failures = [
            failure for failure in transient_failures(telemetry, desk.universe, now) if failure.batch_id not in repeated
        ]
        runs = {batch: runs_of(context.instance, batch) for batch in {failure.batch_id for failure in failures}}
        ended = {batch for batch, found in runs.items() if has_ended(context.instance, batch, found)}
        tried = {batch: max([1, *(attempt_of(run) for run in found)]) for batch, found in runs.items()}
        retries = evaluate_retries(
            [failure for failure in failures if failure.batch_id in ended],
            tried,
            limit=settings.retry_limit,
            backoff_s=settings.retry_backoff_s,
        )
        for retry in retries:
            basis = batch_basis(telemetry, retry.batch_id)
            assert basis is not None  # noqa: S101  # it has rows
            if absolute_market(basis.market) != absolute_market(settings.market):
                # Its windows are not those of this location.
                continue
            if retry.due > now:
                waiting[retry.batch_id] = retry.due
                continue
            # Too many failures of teachers kept these students from being tried.
            blocked = {(symbol, window) for _, symbol, window in telemetry.missing_pairs(retry.batch_id, "student")}
            requests.append(
                desk.request(
                    sorted({*retry.keys, *blocked}),
                    (order, windows),
                    {BATCH_TAG: retry.batch_id, SOURCE_TAG: "sensor", ATTEMPT_TAG: str(retry.attempt)},
                    f"{retry.batch_id}/{retry.attempt}",
                    config={"max_failure_rate": basis.max_failure_rate},
                    resources=basis.parameters,
                )
            )
            desk.tell(
                context,
                f"{retry.batch_id} attempt {retry.attempt}",
                f"Batch {retry.batch_id}: attempt {retry.attempt} at {len(retry.keys)} windows, which can pass now.",
            )
        if requests:
            return dg.SensorResult(run_requests=requests)
        times = [f"batch {batch} at {due:%H:%M:%S} UTC" for batch, due in waiting.items()]
        reason = f"Waits to try again: {', '.join(times)}." if times else "No failure of a batch can pass next time."
        return dg.SensorResult(skip_reason=reason)

    def _repeats(
        context: dg.SensorEvaluationContext, order: Sequence[str]
    ) -> tuple[list[dg.RunRequest], dict[str, datetime]]:
        """Repeat runs that died, each as it was: what it had done is reused, and its check judges the same windows.

        Also gives the batches that wait for it, and until when.
        """
        requests: list[dg.RunRequest] = []
        waiting: dict[str, datetime] = {}
        for run, died_at in died_runs(context.instance, utc_now() - LOOK_BACK):
            batch, made, keys = identity_of(run).batch_id, attempt_of(run), pairs_of(run, order, windows)
            found = batch_basis(desk.telemetry, batch)
            if made >= settings.retry_limit or not keys:
                continue
            if found and absolute_market(found.market) != absolute_market(settings.market):
                continue
            due = died_at + timedelta(seconds=settings.retry_backoff_s * 2 ** (made - 1))
            if due > utc_now():
                waiting[batch] = max(due, waiting.get(batch, due))
                continue
            config = {name: value for name, value in config_of(run).items() if name != "pairs"}
            requests.append(
                desk.request(
                    keys,
                    (order, windows),
                    {BATCH_TAG: batch, SOURCE_TAG: "sensor", ATTEMPT_TAG: str(made + 1), REPEATS_TAG: run.run_id},
                    f"{run.run_id}/{made + 1}",
                    config=config | ({"max_failure_rate": found.max_failure_rate} if found else {}),
                    resources=resources_of(run) | (dict(found.parameters) if found else {}),
                    assets=sorted(run.asset_selection) if run.asset_selection else None,
                )
            )
            message = f"Batch {batch}: attempt {made + 1} at {len(keys)} windows, because run {run.run_id} was killed."
            desk.tell(context, f"{run.run_id} attempt {made + 1}", message)
        return requests, waiting

    return retry_transient


def _stalled_batch(desk: Desk) -> dg.SensorDefinition:
    after = timedelta(minutes=desk.settings.stalled_after_min)

    @dg.sensor(
        name="stalled_batch",
        minimum_interval_seconds=desk.settings.sensor_interval_s,
        description=f"Tells once of a batch that runs and has given no sign of life for {after}, and fails runs whose "
        "process is gone.",
    )
    def stalled_batch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        telemetry = desk.telemetry
        dead = fail_dead_runs(context.instance, telemetry)
        stalls = evaluate_stalls(running_batches(telemetry), utc_now(), after)
        for stall in stalls:
            identity = f"{stall.batch_id}:{stall.last_sign.isoformat()}"
            if not is_noted(telemetry, "stalled", identity):
                message = (
                    f"Batch {stall.batch_id} runs and has given no sign of life since {stall.last_sign:%Y-%m-%d %H:%M} "
                    "UTC. Look at its run; end it there if it hangs."
                )
                note(telemetry, "stalled", identity, message, batch_id=stall.batch_id)
                desk.tell(context, stall.batch_id, message)
        names = [stall.batch_id for stall in stalls]
        found = f"Stalled: {', '.join(names)}." if names else "No batch is stalled."
        return dg.SkipReason(found + (f" Failed {len(dead)} runs whose process is gone." if dead else ""))

    return stalled_batch
