"""What every sensor works with, and how it asks for a run and tells a person."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import dagster as dg

from sensequant_assets.core.lattice import Key
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.jobs import TRAINING
from sensequant_assets.defs.partitions import Order, choose, partition_order
from sensequant_assets.defs.runs import attempt_of, died_runs, identity_of, pairs_of
from sensequant_assets.settings import TODAY, Settings, absolute_market
from sensequant_assets.telemetry.questions.batches import Basis, batch_basis
from sensequant_assets.telemetry.questions.events import is_noted
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import printable
from sensequant_assets.watch.notes import note
from sensequant_assets.watch.notify import notify
from sensequant_assets.watch.retries import DiedRun, RetryRule
from sensequant_assets.watch.verdicts import LOOK_BACK

_Row = TypeVar("_Row")


@dataclass
class Glance:
    """The question that a sensor asks of telemetry at each look.

    A look that finds nothing to do costs nothing: it opens telemetry again only when something was written.

    Attributes
    ----------
    telemetry
        Of this sensor alone; what it has taken in once it need not look for again.
    """

    telemetry: TelemetryStore
    _without_answer: object = None

    def ask(self, question: Callable[[TelemetryStore], Sequence[_Row]]) -> Sequence[_Row]:
        """Rows of an answer; of none there stays none until something is written."""
        written = self.telemetry.written()
        if written is None or written == self._without_answer:
            return ()
        found = question(self.telemetry)
        # As it was before: what was written meanwhile is asked for at the next look.
        self._without_answer = None if found else written
        return found


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
    windows
        Partitions of the windows, as they were when the location was loaded.
    """

    settings: Settings
    teacher: TeacherParameters
    student: StudentParameters
    symbols: dg.DynamicPartitionsDefinition
    windows: dg.StaticPartitionsDefinition

    @property
    def telemetry(self) -> TelemetryStore:
        """Where telemetry lies."""
        return TelemetryStore(self.settings.telemetry_dir)

    @property
    def universe(self) -> str:
        """Name of the universe."""
        return self.settings.universe_name

    @property
    def retry_rule(self) -> RetryRule:
        """What `retry_transient` tries again."""
        settings = self.settings
        return RetryRule(absolute_market(settings.market), settings.retry_limit, settings.retry_backoff_s)

    @property
    def patience(self) -> timedelta:
        """How long after its time another sensor has surely done what it does: it looks thrice in it."""
        return timedelta(seconds=3 * self.settings.sensor_interval_s)

    def basis(self, batch_id: str) -> Basis | None:
        """What a batch was run with, its files by their whole paths."""
        found = batch_basis(self.telemetry, batch_id)
        if found is None:
            return None
        # A run of a batch takes the day of its end from the batch, so that no other market is meant where that rolls.
        end = {"end": TODAY} if self.settings.rolls else {}
        return replace(found, market=absolute_market(found.market) | end)

    def died(self, instance: dg.DagsterInstance, now: datetime) -> list[DiedRun]:
        """Runs that died of late and that nobody has repeated, oldest first."""
        order = partition_order(instance, self.settings)
        return [
            DiedRun(
                run.run_id,
                batch := identity_of(run).batch_id,
                pairs_of(run, order),
                attempt_of(run),
                died_at,
                self.basis(batch),
            )
            for run, died_at in died_runs(instance, now - LOOK_BACK)
        ]

    def known_symbols(self, instance: dg.DagsterInstance) -> list[str]:
        """Symbols that have partitions, in the order of these."""
        return list(instance.get_dynamic_partitions(self.symbols.name or ""))

    def order(self, symbols: Sequence[str], windows: Sequence[str]) -> Order:
        """These symbols and windows as the order of partitions."""
        return Order(symbols, windows, self.settings.symbols_a_partition)

    def begun(self, keys: Iterable[Key]) -> tuple[list[Key], list[str]]:
        """The pairs whose windows have partitions, and sentences on windows that have begun since they were made."""
        known, wanted = {*self.windows.get_partition_keys()}, list(keys)
        new = sorted({window for _, window in wanted} - known)
        return [key for key in wanted if key[1] in known], [
            f"Window {window} has begun since this code location was loaded. Reload it in the UI, or start it again."
            for window in new
        ]

    def tell(self, context: dg.SensorEvaluationContext, batch_id: str, message: str, **details: Any) -> None:
        """Log a message, and post it to the webhook once for a sensor and batch."""
        message = printable(message)
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
        order: Order,
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
        order
            Of all partitions.
        tags, run_key
            Of the run.
        config
            Values of `ModelsConfig` that differ from their defaults.
        resources
            Values of resources by name that differ from theirs.
        assets
            Which models; None for both.
        """
        choice = choose(keys, order)
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
