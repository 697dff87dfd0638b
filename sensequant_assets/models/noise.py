"""What noise twins came to, on disk: a file a market and its parameters, which can be made again."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sensequant_assets.core.universe import universe_name
from sensequant_assets.errors import WindowError
from sensequant_assets.models.sealed import Sealed, read_sealed, write


class NoisePart(BaseModel):
    """One window of one twin.

    Attributes
    ----------
    seed, window
        Which twin, and the window's key.
    made_from
        Fingerprint of the rows of the market that it was made from.
    deviations
        By model and number, of each of its symbols, as `WindowScore.deviations`; null where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seed: int
    window: str
    made_from: str
    deviations: dict[str, dict[str, list[float | None]]]


class NoiseRecord(Sealed):
    """All windows of the twins of a market."""

    parts: list[NoisePart]


class NoiseStore:
    """Noise twins of one universe below a directory.

    Parameters
    ----------
    directory
        Where twins lie; made when the first one is written.
    universe
        Name of the universe, which is a directory of its own.
    """

    def __init__(self, directory: Path, universe: str) -> None:
        self._directory = directory / universe_name(universe)

    def path(self, key: str) -> Path:
        """The file of a market with parameters, named by their fingerprint."""
        return self._directory / f"{key}.json"

    def find(self, key: str) -> NoiseRecord | None:
        """What is on disk; None if there is none that can be relied on."""
        try:
            return read_sealed(self.path(key), NoiseRecord)
        except WindowError:
            return None

    def save(self, key: str, record: NoiseRecord) -> None:
        """Write it whole or not at all; `WindowError` where something else than a file is there."""
        write(self.path(key), record.sealed())
