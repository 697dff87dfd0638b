"""What is answered from: students and newest bars, read again in the background when either has changed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson

from sensequant_assets.batch.prediction import Newest, Predictions, as_object, newest_bars, predict
from sensequant_assets.batch.serving import Standing
from sensequant_assets.errors import SenseQuantError
from sensequant_assets.models.champions import Champion, ChampionStore
from sensequant_assets.telemetry.journal import utc_now


@dataclass(frozen=True)
class Current:
    """Students, the newest bars, and what they say of them.

    Attributes
    ----------
    standing
        The students.
    champion
        Their row of the champions' record; None if nobody has promoted them.
    bars
        The newest of each symbol.
    forecasts
        What the students say of these.
    read_at
        When all of it was read.
    """

    standing: Standing
    champion: Champion | None
    bars: Newest
    forecasts: Predictions
    read_at: datetime

    @classmethod
    def read(cls, open_: Callable[[], Standing], champions: ChampionStore) -> "Current":
        """Read students and bars, and ask.

        Parameters
        ----------
        open_
            Opens the students.
        champions
            Has their record, if they were promoted.
        """
        standing, now = open_(), utc_now()
        champion = None if standing.champion is None else champions.history()[standing.champion - 1]
        bars = newest_bars(standing.market, standing.market.universe.symbols)
        return cls(standing, champion, bars, predict(standing, bars, now), now)

    @property
    def about(self) -> dict[str, Any]:
        """Whose answers these are, which every answer says."""
        return {
            "serving": self.standing.title,
            "champion": self.standing.champion,
            "unproven": self.standing.champion is None,
            "batch_id": self.standing.batch_id,
            "day": self.forecasts.day.isoformat(),
        }

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Predictions of the newest bars by symbol."""
        return {row.symbol: as_object(row) for row in self.forecasts.rows}

    @cached_property
    def universe(self) -> bytes:
        """The answer about the whole universe, as JSON."""
        whole = {"predictions": list(self.rows.values()), "missing": dict(self.forecasts.missing)}
        return orjson.dumps(self.about | whole)


class Renewal:
    """Keeps `Current` current; any thread may ask, and none waits.

    Parameters
    ----------
    read
        Reads everything anew.
    content
        Identity of all that it would read.
    tell
        Is told what has been read anew, and what could not be.
    """

    def __init__(self, read: Callable[[], Current], content: Callable[[], str], tell: Callable[[str], None]) -> None:
        self._read, self._content, self._tell = read, content, tell
        self._seen = content()
        self.current = self._prepared()
        self.problem = ""
        self.looked_at = self.current.read_at
        self.renewed = self.failed = 0
        self._stopped = threading.Event()

    def look(self) -> None:
        """Read everything anew if it has changed; what cannot be read leaves all as it was, and is told once."""
        try:
            content = self._content()
            if content != self._seen:
                self.current = self._prepared()
                self._seen = content
                self.renewed += 1
                self._tell(f"Read anew: {self.current.standing.title}, bars of {self.current.forecasts.day}.")
            problem = ""
        except Exception as error:  # noqa: BLE001  # a thread that dies would renew nothing, and nobody would know
            problem = str(error) if isinstance(error, SenseQuantError) else repr(error)
            self.failed += 1
        if problem and problem != self.problem:
            self._tell(f"Answers stay those of {self.current.forecasts.day}: {problem}")
        self.problem, self.looked_at = problem, utc_now()

    def _prepared(self) -> Current:
        current = self._read()
        # The first to ask would wait for it otherwise.
        current.universe  # noqa: B018
        return current

    def start(self, every_s: float) -> None:
        """Look again and again, in a thread of its own, until `stop`."""
        threading.Thread(target=self._run, args=(every_s,), daemon=True, name="renewal").start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self, every_s: float) -> None:
        while not self._stopped.wait(every_s):
            self.look()
