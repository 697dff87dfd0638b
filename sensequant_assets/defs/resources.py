"""Settings and parameters as Dagster resources: defaults from the environment, changed for one run in the Launchpad."""

from pathlib import Path
from typing import Any

import dagster as dg

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.market import Market
from sensequant_assets.model_store import ModelStore
from sensequant_assets.settings import MARKET_FIELDS, Settings, read_settings
from sensequant_assets.telemetry.store import TelemetryStore


class TeacherResource(TeacherParameters, dg.ConfigurableResource[TeacherParameters]):
    """LightGBM parameters of the teachers."""


class StudentResource(StudentParameters, dg.ConfigurableResource[StudentParameters]):
    """LightGBM parameters of the students."""


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
        return cls(data_dir=str(settings.data_dir.resolve()), **settings.market)

    @property
    def settings(self) -> Settings:
        """The settings this resource stands for."""
        given: dict[str, Any] = {name: getattr(self, name) for name in MARKET_FIELDS}
        return read_settings(given | {"data_dir": self.data_dir})

    def open(self) -> Market:
        """Read the universe and open the bars."""
        return Market.open(self.settings)

    @property
    def models(self) -> ModelStore:
        """Where models lie."""
        return ModelStore(Path(self.data_dir) / "models", self.settings.universe.stem)

    @property
    def telemetry(self) -> TelemetryStore:
        """Where telemetry lies."""
        return TelemetryStore(Path(self.data_dir) / "telemetry")
