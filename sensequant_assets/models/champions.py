"""Champions: which students of a universe serve, since when and on what evidence, in one record that is never cut.

The record is one file with the whole history. A promotion and a rollback add a row to it, and none is ever taken away.
Whoever writes it holds a lock, and puts a new file in its place when all that it names is on disk.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from sensequant_assets.core.bars import Floats, Times
from sensequant_assets.core.parameters import LightGBMValue, Scope
from sensequant_assets.core.universe import universe_name
from sensequant_assets.errors import BusyError, UsageError, WindowError
from sensequant_assets.models.pack import Pack
from sensequant_assets.models.sealed import Sealed, checked, digest, read_sealed, write
from sensequant_assets.replacing import lock_file
from sensequant_assets.text import counted

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = "champions.json"
_UNREADABLE = (
    "Nobody can tell what serves. Put a copy of the file back; where it is removed, the history is lost and the next "
    "promotion begins a new one."
)
_PUT_BACK = "Put a copy of the file back."
_PATIENCE_S = 60.0
_LOOK_S = 0.02


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ConditionRecord(_Part):
    """A condition of the promotion, as of `core.judging.promotion.Condition`; a null is what the rows cannot answer."""

    condition: str
    wanted: str
    passed: bool
    value: float | None
    low: float | None
    high: float | None
    baseline: float | None
    rows: int
    dates: int
    blocks: int


class Evidence(_Part):
    """What a promotion stands on: forecasts of windows that their models had not seen.

    Attributes
    ----------
    first, last
        First and last date of the rows.
    rows, dates, blocks, block_length
        How many there are.
    windows
        Keys of the windows whose students were judged, each on the window after it.
    trials
        How many models of the universe there were to choose from.
    against
        Version of the incumbent; null where nothing served.
    conditions
        All that were asked for.
    remarks
        What was left out, in words.
    """

    first: date
    last: date
    rows: int
    dates: int
    blocks: int
    block_length: int
    windows: list[str]
    trials: int
    against: int | None
    conditions: list[ConditionRecord]
    remarks: list[str]


class Challenger(_Part):
    """A set of students that may serve a universe.

    Attributes
    ----------
    scope
        Of their teachers: `pool` or `symbol`.
    batch_id
        Batch that trained them.
    market, parameters, features
        What it was run with: settings of the market, parameters by model, and providers of the features.
    fingerprints
        Of the students judged (`trees`), of those that serve (`serving`), of the parameters and of the judging code.
    promoted_at, by
        When, and by whom.
    serving
        How many symbols the student of each window serves, by the window's key.
    missing
        Symbols that no student can serve, and why.
    evidence
        Why they may. It is of windows before those that serve.
    """

    scope: Scope
    batch_id: str
    market: dict[str, JsonValue]
    parameters: dict[str, dict[str, LightGBMValue]]
    features: str
    fingerprints: dict[str, str]
    promoted_at: AwareDatetime
    by: str
    serving: dict[str, int]
    missing: dict[str, str]
    evidence: Evidence


class Champion(Challenger):
    """A row of the history: students that serve, or served, a universe.

    Attributes
    ----------
    version
        Its number, from 1.
    supersedes
        Version that served before it; null for the first.
    restores
        Version whose students it brought back; null for a promotion.
    pack, pack_digest
        File with the students, and its digest.
    forecasts, forecasts_digest
        File with what was forecast of the evidence's rows, and its digest.
    """

    version: int = Field(ge=1)
    supersedes: int | None
    restores: int | None
    pack: str
    pack_digest: str
    forecasts: str
    forecasts_digest: str

    @property
    def origin(self) -> int:
        """Version whose promotion brought its students."""
        return self.restores or self.version

    @property
    def standing(self) -> str:
        """What serves and what is known of it, in words."""
        found = self.evidence
        served = ", ".join(f"{number} by that of window {window}" for window, number in sorted(self.serving.items()))
        return (
            f"It serves {counted(sum(self.serving.values()), 'symbol')}, {served}, each trained on all rows of its "
            f"window that had a label when batch {self.batch_id} ran. Its evidence is of students of windows "
            f"{found.windows[0]} to {found.windows[-1]}, each judged on the window after its own: "
            f"{counted(found.rows, 'row')} of {counted(found.dates, 'date')}, {found.first} to {found.last}."
        )


class ChampionRecord(Sealed):
    """The history of a universe, oldest first."""

    universe: str
    champions: list[Champion]

    @model_validator(mode="after")
    def _one_after_the_other(self) -> "ChampionRecord":
        for number, champion in enumerate(self.champions, start=1):
            if champion.version != number or champion.supersedes != (number - 1 or None):
                raise ValueError(f"version {champion.version} does not stand in its place")
            if champion.restores and champion.restores >= number:
                raise ValueError(f"version {number} restores a later one")
        return self


@dataclass(frozen=True, slots=True)
class Forecasts:
    """What students said of rows before these came true, and what became of them.

    Attributes
    ----------
    symbol, window
        Names of the symbols, and keys of the windows that the students were trained on, shape (rows,).
    time
        Start of each row's bar, shape (rows,).
    raw, served
        What a student says, and what it serves, shape (rows,).
    label, forward_return, training_rate
        What became of each row, and the rate of ones among its window's training labels, shape (rows,).
    """

    symbol: NDArray[np.str_]
    window: NDArray[np.str_]
    time: Times
    raw: Floats
    served: Floats
    label: Floats
    forward_return: Floats
    training_rate: Floats

    def table(self) -> "pa.Table":
        """As a table with a column an attribute."""
        import pyarrow as pa

        columns: dict[str, Any] = {name: pa.array(getattr(self, name)) for name in self.__slots__}
        return pa.table(columns | {name: columns[name].dictionary_encode() for name in ("symbol", "window")})

    @classmethod
    def of_table(cls, table: "pa.Table") -> "Forecasts":
        """Those of such a table."""
        columns: dict[str, Any] = {name: table[name].to_numpy() for name in cls.__slots__}
        texts = {name: columns[name].astype(np.str_) for name in ("symbol", "window")}
        return cls(**columns | texts | {"time": columns["time"].astype("datetime64[s]")})


class ChampionStore:
    """The champions of one universe below a directory: their record, and a pack and forecasts of each promotion.

    Parameters
    ----------
    directory
        Where champions lie; made by the first promotion.
    universe
        Name of the universe, which is a directory of its own.
    """

    def __init__(self, directory: Path, universe: str) -> None:
        self.universe = universe_name(universe)
        self.directory = directory / self.universe

    @property
    def path(self) -> Path:
        """The record."""
        return self.directory / RECORD

    def history(self) -> Sequence[Champion]:
        """All versions, the first first; none before the first promotion.

        Raises
        ------
        UsageError
            The record cannot be read, or is not what was written: that is never the same as no champion.
        """
        try:
            record = read_sealed(self.path, ChampionRecord, _UNREADABLE)
        except WindowError as error:
            raise UsageError(str(error)) from error
        if record is None:
            return ()
        if record.universe != self.universe:
            raise UsageError(f"{self.path} is the record of universe {record.universe}. Put its own back.")
        return record.champions

    def current(self) -> Champion | None:
        """The version that serves; None before the first promotion."""
        history = self.history()
        return history[-1] if history else None

    def pack(self, champion: Champion) -> Pack:
        """The students of a version; `UsageError` where their file is gone or is not what was written."""
        with _needed_by(champion):
            return Pack.open(self.directory / champion.pack, champion.pack_digest)

    def forecasts(self, champion: Champion) -> Forecasts:
        """What was forecast of the evidence's rows; `UsageError` where that is gone or is not what was written."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with _needed_by(champion):
            written = checked(self.directory / champion.forecasts, champion.forecasts_digest, _PUT_BACK)
        # Threads that Arrow starts can abort a process that ends while they live (apache/arrow#34314).
        table = pq.read_table(pa.BufferReader(written), use_threads=False, pre_buffer=False)
        return Forecasts.of_table(table)

    def promote(
        self, challenger: Challenger, write_pack: Callable[[Path], str], forecasts: Forecasts, *, against: int | None
    ) -> Champion:
        """Let students serve from now on.

        Parameters
        ----------
        challenger
            Who they are, and why they may.
        write_pack
            Writes their pack to a path and gives its digest.
        forecasts
            The evidence's rows.
        against
            Version that they were compared with; None where nothing served.

        Returns
        -------
        Champion
            The new version.

        Raises
        ------
        UsageError
            Another version serves by now, or the record cannot be read.
        BusyError
            Somebody else has been writing it for a minute.
        """
        with self._alone() as history:
            self._unchanged(history, against)
            version = len(history) + 1
            pack, pack_digest = self._placed(f"{version}-{{}}.pack", write_pack)
            told, told_digest = self._placed(f"{version}-{{}}.parquet", partial(_write_forecasts, forecasts))
            return self._append(
                history,
                Champion(
                    **dict(challenger),
                    version=version,
                    supersedes=version - 1 or None,
                    restores=None,
                    pack=pack,
                    pack_digest=pack_digest,
                    forecasts=told,
                    forecasts_digest=told_digest,
                ),
            )

    def follow(self, history: Sequence[Champion]) -> None:
        """Go on with a longer history, which a copy of this one has.

        Raises
        ------
        UsageError
            It does not begin with this one.
        BusyError
            As of `promote`.
        """
        with self._alone() as here:
            if list(history[: len(here)]) != list(here):
                raise UsageError(f"{self.path} has versions that a copy of it does not have. Keep one of them.")
            write(self.path, ChampionRecord(universe=self.universe, champions=list(history)).sealed())

    def rollback(self, to: int | None, *, against: int | None, by: str, at: AwareDatetime) -> Champion:
        """Let an earlier version serve again, as a new version that restores it.

        Parameters
        ----------
        to
            Which; None for the one that the promotion of those that serve took the place of.
        against
            Version that serves as far as the caller knows.
        by, at
            Who brings it back, and when.

        Raises
        ------
        UsageError
            There is no such version, it serves already, its files are not what was written, or as of `promote`.
        BusyError
            As of `promote`.
        """
        with self._alone() as history:
            self._unchanged(history, against)
            restored = self._restored(history, to)
            # They may have changed since they served.
            self.pack(restored)
            self.forecasts(restored)
            changed = {
                "version": len(history) + 1,
                "supersedes": len(history),
                "restores": restored.version,
                "promoted_at": at,
                "by": by,
            }
            return self._append(history, restored.model_copy(update=changed))

    def _restored(self, history: Sequence[Champion], to: int | None) -> Champion:
        if not history:
            raise UsageError(f"Nothing serves universe {self.universe}: `sensequant promote` is first.")
        serving = history[history[-1].origin - 1]
        if to is None:
            if serving.supersedes is None:
                raise UsageError(
                    f"Version {serving.version} is the first that served universe {self.universe}, and there is none "
                    "before it. Name another with --to."
                )
            return history[history[serving.supersedes - 1].origin - 1]
        if not 1 <= to <= len(history):
            raise UsageError(f"Universe {self.universe} has versions 1 to {len(history)}, and no version {to}.")
        wanted = history[history[to - 1].origin - 1]
        if wanted is serving:
            raise UsageError(f"Version {to} serves already. Name another with --to.")
        return wanted

    def _placed(self, name: str, make: Callable[[Path], str]) -> tuple[str, str]:
        """Write a file that is named after its digest, so that it never takes the place of another; name and digest."""
        temporary = self.directory / f".champion.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            found = make(temporary)
            placed = name.format(found[:12])
            temporary.replace(self.directory / placed)
        finally:
            temporary.unlink(missing_ok=True)
        return placed, found

    def _unchanged(self, history: Sequence[Champion], against: int | None) -> None:
        serving = history[-1].version if history else None
        if serving != against:
            now, then = (f"version {one}" if one else "nothing" for one in (serving, against))
            raise UsageError(
                f"Universe {self.universe} is served by {now}, and this was decided when {then} served it. Nothing is "
                "changed: look again, and decide anew."
            )

    def _append(self, history: Sequence[Champion], champion: Champion) -> Champion:
        record = ChampionRecord(universe=self.universe, champions=[*history, champion])
        write(self.path, record.sealed())
        return champion

    @contextmanager
    def _alone(self) -> Iterator[Sequence[Champion]]:
        """Hold the lock, under which the history is read."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with lock_file(self.directory / f"{RECORD}.lock") as lock:
            deadline = time.monotonic() + _PATIENCE_S
            while True:
                try:
                    # The kernel releases it when its holder dies.
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BusyError(
                            f"{self.path} is in the hands of another process for {_PATIENCE_S:g} s. Try again."
                        ) from None
                    time.sleep(_LOOK_S)
            yield self.history()


def named_batches(directory: Path) -> set[str]:
    """Batches that a version of any universe names, below a directory of champions.

    Raises
    ------
    UsageError
        A record cannot be read.
    """
    stores = (ChampionStore(directory, path.parent.name) for path in sorted(directory.glob(f"*/{RECORD}")))
    return {champion.batch_id for store in stores for champion in store.history()}


@contextmanager
def _needed_by(champion: Champion) -> Iterator[None]:
    """Turn the error of a file into that of the version that needs it."""
    try:
        yield
    except WindowError as error:
        raise UsageError(f"Version {champion.version} cannot serve: {error}") from error


def _write_forecasts(forecasts: Forecasts, path: Path) -> str:
    """Write forecasts; gives their digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = pa.BufferOutputStream()
    pq.write_table(forecasts.table(), written, compression="zstd")
    content = written.getvalue().to_pybytes()
    path.write_bytes(content)
    return digest(content)
