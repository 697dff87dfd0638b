"""What assets are given: a market, and the parameters of teachers and students.

Runs that Dagster starts are given resources, with the environment's values as defaults, which the Launchpad changes for
one run. A run of the command line is given the very objects that it was asked with.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Optional, TypeVar, get_args

import dagster as dg
from pydantic import create_model
from pydantic.fields import FieldInfo

from sensequant_assets.batch.pools import PoolOutcome
from sensequant_assets.batch.run import to_nobody
from sensequant_assets.core.outcome import Outcome, Verdict
from sensequant_assets.core.parameters import BoosterParameters, Scope, StudentParameters, TeacherParameters
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import MarketSettings, Settings, read_market
from sensequant_assets.telemetry.store import TelemetryStore

_AS_JSON: dict[Any, Any] = {Path: str, date: str}
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
    """

    settings: MarketSettings
    data_dir: Path
    tell: Callable[[Outcome], None] = to_nobody
    tell_verdict: Callable[[Verdict], None] = to_nobody
    opened: Market | None = None
    tell_pool: Callable[[PoolOutcome], None] = to_nobody

    def open(self, teacher: TeacherParameters, student: StudentParameters) -> Market:
        """The market for models of these parameters.

        From here on it is in the hands of the caller alone, so that its bars leave memory with it.
        """
        opened, self.opened = self.opened, None
        return Market.open(self.settings, teacher, student) if opened is None else opened

    @property
    def models(self) -> ModelStore:
        """Where models lie."""
        return ModelStore(self.data_dir / "models", self.settings.universe_name)

    @property
    def telemetry(self) -> TelemetryStore:
        """Where telemetry lies."""
        return TelemetryStore(self.data_dir / "telemetry")


class TeacherResource(dg.ConfigurableResource[TeacherParameters]):
    """LightGBM parameters of the teachers; one without a value has the default of the scope."""

    def create_resource(self, context: dg.InitResourceContext) -> TeacherParameters:  # noqa: ARG002  # as above
        """The parameters of these values."""
        return TeacherParameters(**_given(self, TeacherParameters))


class StudentResource(dg.ConfigurableResource[StudentParameters]):
    """LightGBM parameters of the students; one without a value has the default of the scope."""

    def create_resource(self, context: dg.InitResourceContext) -> StudentParameters:  # noqa: ARG002  # as above
        """The parameters of these values."""
        return StudentParameters(**_given(self, StudentParameters))


def _given(resource: dg.ConfigurableResource[Any], kind: type[BoosterParameters]) -> dict[str, Any]:
    return {name: value for name in kind.model_fields if (value := getattr(resource, name)) is not None}


class LaunchpadMarket(dg.ConfigurableResource[MarketResource]):
    """Universe, bars and windows, and the directory that models and telemetry lie in."""

    data_dir: str

    def create_resource(self, context: dg.InitResourceContext) -> MarketResource:  # noqa: ARG002  # Dagster calls it so
        """The market of these values, which the settings check."""
        values = {name: getattr(self, name) for name in MarketSettings.model_fields}
        return MarketResource(read_market(values), Path(self.data_dir))


def launchpad_resources(
    settings: Settings, teacher: TeacherParameters, student: StudentParameters
) -> dict[str, dg.ConfigurableResource[Any]]:
    """Resources with these values as their defaults in the Launchpad, by name."""
    market = {"data_dir": str(settings.data_dir.resolve()), **settings.market}
    return {
        "market": _resource(LaunchpadMarket, LaunchpadMarket.model_fields | MarketSettings.model_fields, market),
        "teacher": _resource(TeacherResource, *_fields_and_defaults(teacher, TeacherParameters)),
        "student": _resource(StudentResource, *_fields_and_defaults(student, StudentParameters)),
    }


def _fields_and_defaults(
    parameters: BoosterParameters, kind: type[BoosterParameters]
) -> tuple[dict[str, FieldInfo], dict[str, Any]]:
    """Fields of a resource, and their values; what nobody set and depends on the scope has none, and says so."""
    fields, values = {}, {}
    for name, field in kind.model_fields.items():
        unset = name in kind.POOLED and name not in parameters.model_fields_set
        fields[name] = _by_scope(field, kind, name) if unset else field
        values[name] = None if unset else getattr(parameters, name)
    return fields, values


def _by_scope(field: FieldInfo, kind: type[BoosterParameters], name: str) -> FieldInfo:
    told = " or ".join(f"{kind.default_of(name, scope)} by scope {scope}" for scope in get_args(Scope))
    changed = copy(field)
    optional: Any = Optional[field.annotation]  # noqa: UP045  # of a type that is a value here
    changed.annotation = optional
    changed.description = f"{field.description} By default {told}."
    return changed


def with_default(field: FieldInfo, value: Any) -> Any:
    """A field of settings or parameters with its bounds and description, another default, and no name but its own."""
    changed = copy(field)
    changed.default, changed.validation_alias = value, None
    return changed


def _resource(kind: type[_Resource], fields: Mapping[str, FieldInfo], values: Mapping[str, Any]) -> _Resource:
    # Of the values given to a resource Dagster forgets all when the Launchpad sets one; the defaults of its class stay.
    defaults: dict[str, Any] = {
        name: (_AS_JSON.get(field.annotation, field.annotation), with_default(field, values[name]))
        for name, field in fields.items()
    }
    resource: _Resource = create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **defaults)()
    return resource
