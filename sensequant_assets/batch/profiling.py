"""A profile: what each setting of a grid takes and is worth on a sample, run by run, each in a process of its own."""

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sensequant_assets.batch.devices import devices_of
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.grid import Setting
from sensequant_assets.batch.made_with import code, judging
from sensequant_assets.batch.measuring import Answer, Task, answer
from sensequant_assets.core.parameters import MODELS, BoosterParameters, ModelKind
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.replacing import lock_file
from sensequant_assets.settings import read_market
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.profiles import PROFILE, profile_asked, profile_names
from sensequant_assets.telemetry.records import Event, Measurement, Trial
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import brief, counted

_NOISE, _NAMED = "noise", 8


class Asked(BaseModel):
    """What a profile is asked: all that is needed to measure it, also another day.

    Attributes
    ----------
    profile
        Its name.
    market, features, symbols, windows
        The sample, as of `Task`.
    settings
        The grid's.
    repeats
        Runs of each setting.
    workers, window_timeout_s, noise_windows, cost_bp
        As of `Task`.
    code
        Fingerprint of what trains and judges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str
    market: dict[str, Any]
    features: str
    symbols: list[str]
    windows: list[str]
    settings: list[Setting]
    repeats: int
    workers: int
    window_timeout_s: float
    noise_windows: int
    cost_bp: float
    code: str

    @property
    def sample(self) -> str:
        """Fingerprint of what the settings are measured on."""
        names = ("market", "features", "symbols", "windows", "workers")
        return parameters_fingerprint({name: getattr(self, name) for name in names})

    @property
    def turns(self) -> list[tuple[int, int]]:
        """(setting, turn) in the order in which they are measured: every setting once, then again.

        Whatever changes slowly about the machine meanwhile meets all settings alike.
        """
        numbers = range(1, len(self.settings) + 1)
        return [(number, turn) for turn in range(1, self.repeats + 1) for number in numbers]

    def subject(self, setting: Setting) -> Subject:
        """A setting's parameters on the market, whatever is trained."""
        return Subject("", read_market(self.market), setting.teacher, setting.student)

    def task(self, number: int, turn: int, directory: Path) -> Task:
        """One run of a setting."""
        return Task(
            **{name: getattr(self, name) for name in Task.model_fields if name in Asked.model_fields},
            setting=self.settings[number - 1],
            noise_setting=self.settings[0],
            directory=directory / self.profile,
            noise_directory=directory / _NOISE,
            judged=turn == 1,
        )


def made_by() -> str:
    """Fingerprint of the code that a profile is measured with."""
    return f"{code()} {judging()}"


def asked_before(telemetry: TelemetryStore, profile: str | None) -> Asked:
    """What a profile was asked, or the latest one.

    Raises
    ------
    UsageError
        Telemetry has none of that name, or it is of another version.
    """
    found = profile_asked(telemetry, profile)
    if found is None:
        names = profile_names(telemetry)
        more = f" and {len(names) - _NAMED} earlier ones" if len(names) > _NAMED else ""
        there = f"There are: {', '.join(names[:_NAMED])}{more}." if names else "`sensequant profile` begins one."
        raise UsageError(f"{telemetry.database} has no profile{f' {profile}' if profile else ''}. {there}")
    try:
        return Asked(**found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"Profile {found.get('profile')} is of another version of this package ({where}: {first['msg']}). "
            "Begin it anew."
        ) from None


def require(asked: Asked) -> None:
    """See that every setting can be measured.

    Raises
    ------
    UsageError
        The market or a device is not there, or a setting leaves no window with rows enough: names it.
    """
    for setting in asked.settings:
        devices_of(setting.teacher)
    opened = set()
    for setting in asked.settings:
        # Settings that ask alike for rows leave the same windows.
        key = json.dumps([_asks(own) for own in _of(setting).values()])
        if key in opened:
            continue
        opened.add(key)
        market = Market.open(read_market(asked.market), setting.teacher, setting.student, asked.features, asked.symbols)
        pairs = [market.pair(*pair) for pair in market.keys(None, asked.windows)]
        if not any(pair.eligible for pair in pairs):
            why = next((f" {pair.detail}" for pair in pairs if pair.detail), "")
            raise UsageError(
                f"By {setting.name} no window of the sample can be trained.{why} Leave the value out, or take a larger "
                "sample."
            )


_ROWS = ("scope", "min_child_samples", "subsample", "folds", "pool_history", "early_life", "early_stopping_rounds")
"""Parameters that say how many rows a window needs, and which it has."""


def _asks(parameters: BoosterParameters) -> list[object]:
    return [getattr(parameters, name, None) for name in _ROWS]


def _of(setting: Setting) -> dict[ModelKind, BoosterParameters]:
    return {"teacher": setting.teacher, "student": setting.student}


def begin(asked: Asked, telemetry: TelemetryStore) -> None:
    """Write down what is asked, by which the profile can be resumed whatever becomes of this process."""
    with Journal(telemetry.shards, batch_id="", run_id="", clock=utc_now) as journal:
        journal.append(
            Event(
                kind=PROFILE,
                message=f"Profile {asked.profile} of {counted(len(asked.settings), 'setting')}.",
                data=asked.model_dump(mode="json"),
            )
        )


def left_of(asked: Asked, measured: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """(setting, turn) that are still to be measured; a setting that broke off once is not tried again."""
    done = {(row["setting"], row["turn"]) for row in measured}
    broke_off = {row["setting"] for row in measured if row["wall_s"] is None}
    return [(number, turn) for number, turn in asked.turns if (number, turn) not in done and number not in broke_off]


def measure_all(
    asked: Asked,
    left: Collection[tuple[int, int]],
    telemetry: TelemetryStore,
    directory: Path,
    tell: Callable[[int, int, Measurement | None], None],
) -> None:
    """Measure what is left of a profile, and write each run down as it ends.

    Parameters
    ----------
    asked
        The profile.
    left
        (setting, turn) in order.
    telemetry
        Where it is written.
    directory
        Where models lie while they are measured, and noise twins are kept.
    tell
        Called with setting and turn before each run, and after it with what was measured too.

    Raises
    ------
    UsageError
        Another profile of this directory is being measured.
    """
    broke_off: set[int] = set()
    with _alone(directory, asked.profile), Journal(telemetry.shards, batch_id="", run_id="", clock=utc_now) as journal:
        for number, turn in left:
            if number in broke_off:
                continue
            tell(number, turn, None)
            found = _measurement(asked, number, turn, _answer(asked.task(number, turn, directory)))
            journal.append(found)
            if turn == 1:
                journal.append_many(_trials(asked, found))
            if found.wall_s is None:
                broke_off.add(number)
            tell(number, turn, found)


@contextmanager
def _alone(directory: Path, profile: str) -> Iterator[None]:
    """Let nobody else measure in this directory, and leave no model there."""
    directory.mkdir(parents=True, exist_ok=True)
    with lock_file(directory / "lock") as descriptor:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except OSError:
            raise UsageError(
                f"Another profile is being measured in {directory}, and two at once would tell each other's times. "
                "Wait for its end."
            ) from None
        for left in directory.iterdir():
            # Models of profiles that were killed.
            if left.is_dir() and left.name != _NOISE:
                shutil.rmtree(left, ignore_errors=True)
        own = directory / profile
        own.mkdir()
        try:
            yield
        finally:
            shutil.rmtree(own, ignore_errors=True)


def _answer(task: Task) -> Answer:
    """Let a process of its own do a task: one forked from a process that has loaded this package and done nothing."""
    context = get_context("forkserver")
    context.set_forkserver_preload([answer.__module__])
    reader, writer = context.Pipe(duplex=False)
    said = task.directory / "said"
    process = context.Process(target=answer, args=(task.model_dump_json(), writer, str(said)))
    process.start()
    writer.close()
    try:
        return Answer.model_validate_json(reader.recv_bytes())
    except EOFError:
        process.join()
    finally:
        reader.close()
        process.kill()
        process.join()
    lines = said.read_text(errors="replace").splitlines() if said.exists() else []
    last = next((line for line in reversed(lines) if line.strip()), "")
    code = process.exitcode or 0
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return Answer(error=f"Its process ended {how}{f': {brief(last)}' if last else ''}.")


def _measurement(asked: Asked, number: int, turn: int, answer: Answer) -> Measurement:
    setting = asked.settings[number - 1]
    failure = {"failure": answer.error} if answer.error else {}
    return Measurement(
        profile=asked.profile,
        setting=number,
        turn=turn,
        universe=asked.subject(setting).settings.universe_name,
        symbols=len(asked.symbols),
        windows=len(asked.windows),
        sample_fingerprint=asked.sample,
        name=setting.name,
        grid=setting.values,
        parameters={model: own.model_dump() for model, own in _of(setting).items()},
        parameters_fingerprint=asked.subject(setting).parameters,
        workers=asked.workers,
        measured_at=utc_now(),
        **(answer.measured | failure),
    )


def _trials(asked: Asked, found: Measurement) -> Iterator[Trial]:
    """Rows of `trials`: whoever picks the best of many settings must know how many there were.

    They keep no series, for it is that of a sample and not of the universe.
    """
    told = found.scores or {}
    for score in told.get("scores", ()):
        if score["score"] in MODELS and score["rows"]:
            ends = [f"{name}{end}" for name in ("auc", "rank_ic") for end in ("", "_low", "_high")]
            yield Trial(
                evaluation=f"{asked.profile}-{found.setting}",
                score=score["score"],
                universe=found.universe,
                first_window=told["windows"][0],
                last_window=told["windows"][-1],
                first_date=told["first"],
                last_date=told["last"],
                rows=score["rows"],
                dates=score["dates"],
                blocks=score["blocks"],
                block_length=told["block_length"],
                **{name: score[name] for name in ends},
                metrics=score,
                parameters_fingerprint=found.parameters_fingerprint,
                evaluated_at=found.measured_at,
            )
