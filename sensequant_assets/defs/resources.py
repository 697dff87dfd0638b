"""What assets are given: a market, and the parameters of teachers and students.

Runs that Dagster starts are given resources, with the environment's values as defaults, which the Launchpad changes for
one run. A run of the command line is given the very objects that it was asked with.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import dagster as dg
from pydantic import create_model
from pydantic.fields import FieldInfo

from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.batch.run import to_nobody
from sensequant_assets.batch.shrinking import Shrink
from sensequant_assets.core.outcome import Outcome, Verdict
from sensequant_assets.core.parameters import BoosterParameters, StudentParameters, TeacherParameters
from sensequant_assets.core.providers import STANDARD
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.noise import NoiseStore
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import (
    CHAMPIONS_DIR,
    MODELS_DIR,
    NOISE_DIR,
    TELEMETRY_DIR,
    MarketSettings,
    Settings,
    Today,
    bounds_in_words,
    read_market,
    read_parameters,
)
from sensequant_assets.telemetry.questions.batches import batch_basis
from sensequant_assets.telemetry.store import TelemetryStore

_AS_JSON: dict[Any, Any] = {Path: str, date: str, date | Today: str, date | None: str | None}
"""Types of fields as a run's config, which is JSON, can have them; the others are."""

_Resource = TypeVar("_Resource", bound=dg.ConfigurableResource[Any])


@dataclass(slots=True)
class MarketResource:
    """The market that a run works on.

    Attributes
    ----------
    settings
        Which market.
    data_dir
        The directory that models, tables and telemetry lie in.
    tell
        Called with what became of each window; for who waits for the run.
    tell_verdict, tell_pool
        Called with the verdict on each model, and with what became of each pool, likewise.
    opened
        The market if who launched the run has it open, for the parameters of the run, so that its bars are not read a
        second time.
    features
        Providers of the features, as of `Settings`.
    shrink
        What the universe has lost since the batch before, if who launched the run has looked.
    warn
        Called with each sentence on a device that fails or stands idle; for who waits for the run.
    """

    settings: MarketSettings
    data_dir: Path
    tell: Callable[[Outcome], None] = to_nobody
    tell_verdict: Callable[[Verdict], None] = to_nobody
    opened: Market | None = None
    tell_pool: Callable[[PoolOutcome], None] = to_nobody
    features: str = STANDARD.name
    shrink: Shrink | None = None
    warn: Callable[[str], None] = to_nobody

    def of_batch(self, batch_id: str) -> "MarketResource":
        """The same market, whose end is a day for good: that of the batch's first run where it rolls.

        So a run that comes after midnight trains and tells of the lattice that the others of its batch have.
        """
        if not self.settings.rolls:
            return self
        basis = batch_basis(self.telemetry, batch_id)
        return replace(self, settings=self.settings.dated(basis.market.get("end") if basis else None))

    def open(self, teacher: TeacherParameters, student: StudentParameters) -> Market:
        """The market for models of these parameters.

        From here on it is in the hands of the caller alone, so that its bars leave memory with it.
        """
        opened, self.opened = self.opened, None
        return Market.open(self.settings, teacher, student, self.features) if opened is None else opened

    @property
    def models(self) -> ModelStore:
        """Where models lie."""
        return ModelStore(self.data_dir / MODELS_DIR, self.settings.universe_name)

    @property
    def twins(self) -> NoiseStore:
        """Where noise twins lie."""
        return NoiseStore(self.data_dir / NOISE_DIR, self.settings.universe_name)

    @property
    def champions(self) -> ChampionStore:
        """Where champions lie."""
        return ChampionStore(self.data_dir / CHAMPIONS_DIR, self.settings.universe_name)

    @property
    def telemetry(self) -> TelemetryStore:
        """Where telemetry lies."""
        return TelemetryStore(self.data_dir / TELEMETRY_DIR)


@contextmanager
def _refusing() -> Iterator[None]:
    """Fail a run whose Launchpad has a wrong value, by the sentence that names it and its bounds."""
    try:
        yield
    except UsageError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


class _ParametersResource(dg.ConfigurableResource[BoosterParameters]):
    """Parameters as the Launchpad shows them.

    It writes every default into a run's config, so that a value that is shown and one that is meant look alike. Where a
    run has another scope than the one that is shown, what is as shown and was set by nobody is the new scope's.
    """

    shown: ClassVar[BoosterParameters]

    def create_resource(self, context: dg.InitResourceContext) -> BoosterParameters:  # noqa: ARG002  # Dagster calls it so
        """The parameters of these values."""
        kind, values = type(self.shown), {name: getattr(self, name) for name in type(self.shown).model_fields}
        if values["scope"] != self.shown.scope:
            as_shown = {name for name in kind.POOLED if values[name] == getattr(self.shown, name)}
            values = {name: values[name] for name in values.keys() - (as_shown - self.shown.model_fields_set)}
        with _refusing():
            return read_parameters(kind, values)


class TeacherResource(_ParametersResource):
    """LightGBM parameters of the teachers."""


class StudentResource(_ParametersResource):
    """LightGBM parameters of the students."""


class LaunchpadMarket(dg.ConfigurableResource[MarketResource]):
    """Universe, bars and windows, and the directory that models and telemetry lie in."""

    data_dir: str
    features: ClassVar[str] = STANDARD.name
    """No field: whoever may launch a run may not therefore name code to be run."""

    def create_resource(self, context: dg.InitResourceContext) -> MarketResource:  # noqa: ARG002  # Dagster calls it so
        """The market of these values, which the settings check."""
        values = {name: getattr(self, name) for name in MarketSettings.model_fields}
        with _refusing():
            return MarketResource(read_market(values), Path(self.data_dir), features=self.features)


def launchpad_resources(
    settings: Settings, teacher: TeacherParameters, student: StudentParameters
) -> dict[str, dg.ConfigurableResource[Any]]:
    """Resources with these values as their defaults in the Launchpad, by name."""
    market = {"data_dir": str(settings.data_dir.resolve()), **settings.market}
    shown = _resource(LaunchpadMarket, LaunchpadMarket.model_fields | MarketSettings.model_fields, market)
    type(shown).features = settings.features
    return {
        "market": shown,
        "teacher": _parameters_resource(TeacherResource, TeacherParameters(**teacher.model_dump(exclude_unset=True))),
        "student": _parameters_resource(StudentResource, StudentParameters(**student.model_dump(exclude_unset=True))),
    }


def _parameters_resource(
    kind: type[_ParametersResource], shown: BoosterParameters
) -> dg.ConfigurableResource[BoosterParameters]:
    resource = _resource(kind, type(shown).model_fields, shown.model_dump())
    type(resource).shown = shown
    return resource


def with_default(field: FieldInfo, value: Any) -> Any:
    """A field of settings or parameters with its bounds and description, another default, and no name but its own."""
    changed = copy(field)
    changed.default, changed.validation_alias = value, None
    return changed


def _unbounded(field: FieldInfo, name: str, value: Any) -> Any:
    """The same with its bounds in words alone: what is beyond them a sentence refuses, and not a trace of Dagster."""
    changed = with_default(field, value)
    if field.metadata:
        changed.metadata = []
        changed.description = f"{field.description} It is {bounds_in_words(name, field)}."
    return changed


def _resource(kind: type[_Resource], fields: Mapping[str, FieldInfo], values: Mapping[str, Any]) -> _Resource:
    # Of the values given to a resource Dagster forgets all when the Launchpad sets one; the defaults of its class stay.
    defaults: dict[str, Any] = {
        name: (_AS_JSON.get(field.annotation, field.annotation), _unbounded(field, name, values[name]))
        for name, field in fields.items()
    }
    resource: _Resource = create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **defaults)()
    return resource
