"""Settings and parameters as Dagster resources: defaults from the environment, changed for one run in the Launchpad."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from pydantic import create_model

from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import MarketSettings, Settings, absolute_market, read_settings
from sensequant_assets.telemetry.store import TelemetryStore

_Resource = TypeVar("_Resource", bound=dg.ConfigurableResource[Any])


class TeacherResource(TeacherParameters, dg.ConfigurableResource[TeacherParameters]):
    """LightGBM parameters of the teachers."""


class StudentResource(StudentParameters, dg.ConfigurableResource[StudentParameters]):
    """LightGBM parameters of the students."""


def resource_of(kind: type[_Resource], values: Mapping[str, Any]) -> _Resource:
    """A resource with these values as its defaults.

    Of values given to a resource Dagster forgets all when the Launchpad sets one, and takes the defaults of its class.
    """
    fields: dict[str, Any] = {}
    for name, value in values.items():
        field = copy(kind.model_fields[name])
        field.default = value
        fields[name] = (field.annotation, field)
    made: type[Any] = create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **fields)
    resource: _Resource = made()
    return resource


@dataclass(frozen=True, slots=True)
class _Handed:
    settings: Mapping[str, Any]
    market: Market
    tell: Callable[[Outcome], None]


_HANDED: ContextVar[_Handed | None] = ContextVar("handed", default=None)


@contextmanager
def handed_over(settings: Settings, market: Market, tell: Callable[[Outcome], None]) -> Iterator[None]:
    """Let runs of this process take an open market, instead of reading its bars a second time, and tell of outcomes."""
    token = _HANDED.set(_Handed(absolute_market(settings.market), market, tell))
    try:
        yield
    finally:
        _HANDED.reset(token)


class MarketResource(dg.ConfigurableResource[Market]):
    """Universe, bars and windows, and the directory that models and telemetry lie in.

    Dates and lengths are text and numbers here, because a run's config is JSON; the settings check them.
    """

    data_dir: str
    universe: str
    bars: str
    timezone: str | None
    start: str
    end: str
    window_days: int
    horizon: int
    threshold: float
    min_samples: int
    validation_fraction: float
    open_windows: str
    overnight_labels: str

    @classmethod
    def of(cls, settings: Settings) -> "MarketResource":
        """The resource that stands for settings."""
        return resource_of(cls, {"data_dir": str(settings.data_dir.resolve()), **settings.market})

    @property
    def settings(self) -> Settings:
        """The settings this resource stands for."""
        given: dict[str, Any] = {name: getattr(self, name) for name in MarketSettings.model_fields}
        return read_settings(given | {"data_dir": self.data_dir})

    def open(self) -> Market:
        """Read the universe and open the bars, unless who launched the run has this market open and hands it over."""
        settings, handed = self.settings, _HANDED.get()
        if handed is not None and handed.settings == absolute_market(settings.market):
            return handed.market
        return Market.open(settings)

    @staticmethod
    def tell(outcome: Outcome) -> None:
        """Tell who launched the run, if it is there to listen, what became of a window."""
        if handed := _HANDED.get():
            handed.tell(outcome)

    @property
    def models(self) -> ModelStore:
        """Where models lie."""
        return ModelStore(Path(self.data_dir) / "models", self.settings.universe.stem)

    @property
    def telemetry(self) -> TelemetryStore:
        """Where telemetry lies."""
        return TelemetryStore(Path(self.data_dir) / "telemetry")
