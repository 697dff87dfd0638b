"""One run of one setting of a profile, in a process of its own.

A process has a peak of memory and seconds of the processor of its own, and what one setting leaves in memory or breaks
is no other's.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from sensequant_assets.batch.cost import Cost, peak_mb
from sensequant_assets.batch.evaluation import Gathered, Subject, gather
from sensequant_assets.batch.grid import Setting
from sensequant_assets.batch.made_with import code
from sensequant_assets.batch.noise import Options as NoiseOptions
from sensequant_assets.batch.noise import noise_of, window_scores
from sensequant_assets.batch.pools import PoolOutcome, PoolStatus
from sensequant_assets.batch.rows import Identity
from sensequant_assets.batch.run import Options, Run
from sensequant_assets.core.boosting import effective_parameters, fit
from sensequant_assets.core.judging.noise import Noise
from sensequant_assets.core.judging.walk_forward import judge_forecasts
from sensequant_assets.core.lattice import Key
from sensequant_assets.core.outcome import Outcome, Status
from sensequant_assets.core.parameters import MODELS, ModelKind
from sensequant_assets.core.provenance import parameters_fingerprint
from sensequant_assets.errors import Exit, SenseQuantError, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.noise import NoiseStore
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import read_market
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.events import DEVICES
from sensequant_assets.telemetry.records import Event, Record, WindowRun

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_STAT = Path("/proc/stat")
_TELLS = {"utilization_percent"}


class Task(BaseModel):
    """What is measured.

    Attributes
    ----------
    market, features, symbols, windows
        The sample.
    setting, noise_setting
        The parameters, and those of the noise twin, which is that of the profile's first setting.
    workers, window_timeout_s
        As of `Options`.
    directory, noise_directory
        Where models lie while they are measured, and where noise twins are kept.
    noise_windows, cost_bp
        Windows of the noise twin, and costs of a round trip.
    judged
        Whether what was trained is judged too.
    """

    model_config = ConfigDict(frozen=True)

    market: dict[str, Any]
    features: str
    symbols: list[str]
    windows: list[str]
    setting: Setting
    noise_setting: Setting
    workers: int
    window_timeout_s: float
    directory: Path
    noise_directory: Path
    noise_windows: int
    cost_bp: float
    judged: bool


class Answer(BaseModel):
    """What came of a task: fields of a `Measurement`, or why there are none."""

    measured: dict[str, Any] = {}
    error: str = ""


@dataclass
class Told:
    """What a run tells as it goes on.

    Attributes
    ----------
    outcomes, pools
        Of its windows and pools.
    rows
        Of windows, as its journal has them.
    looks
        What it saw of its devices, each time that it looked.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    pools: list[PoolOutcome] = field(default_factory=list)
    rows: list[WindowRun] = field(default_factory=list)
    looks: list[Mapping[str, Any]] = field(default_factory=list)

    def take(self, _model: ModelKind, outcomes: Iterator[Outcome]) -> None:
        """Take the outcomes of a model as they come."""
        self.outcomes += outcomes

    @property
    def failures(self) -> list[str]:
        """Errors of windows and pools; a student without its teacher has none of its own."""
        pools = [str(one.error) for one in self.pools if one.error]
        return pools + [one.error_message for one in self.outcomes if one.status is Status.FAILED and one.error_message]

    @property
    def devices(self) -> str:
        """What teachers were trained on."""
        return " and ".join(sorted({row.device for row in self.rows if row.model == "teacher" and row.device}))

    @property
    def utilisation(self) -> float | None:
        """Mean busy share of its devices over all looks at them; None where none tells."""
        told = [
            device["utilization_percent"]
            for look in self.looks
            for device in look["devices"]
            if device.keys() >= _TELLS
        ]
        return mean(told) / 100 if told else None

    @property
    def costs(self) -> Iterator[tuple[str, Cost]]:
        """What each model cost, by kind."""
        yield from ((one.model, one.cost) for one in self.pools)
        for row in self.rows:
            yield row.model, Cost(row.duration_s or 0.0, row.cpu_s or 0.0, row.peak_mb, row.device_s, row.joules)


class ToldJournal(Journal):
    """Writes what a run tells as it does for a batch, and keeps the rows of windows, and what devices do."""

    def __init__(self, directory: Path, told: Told) -> None:
        super().__init__(directory, batch_id="profile", run_id="profile", clock=utc_now)
        self._told = told

    def append(self, record: Record) -> None:
        """As for every journal."""
        if isinstance(record, WindowRun):
            self._told.rows.append(record)
        if isinstance(record, Event) and record.kind == DEVICES and record.data:
            self._told.looks.append(record.data)
        super().append(record)


def measure(task: Task) -> dict[str, Any]:
    """Train a sample by a setting as a batch would, and tell what it took and, if asked, what it is worth.

    The clock runs from the run's first record to its last: bars are read, features made and LightGBM is loaded before,
    and the models are judged after.

    Returns
    -------
    dict
        Fields of a `Measurement`.

    Raises
    ------
    SenseQuantError
        The market or the device is not there, or all of it cannot be trained.
    """
    setting, settings = task.setting, read_market(task.market)
    market = Market.open(settings, setting.teacher, setting.student, task.features, task.symbols)
    keys = market.keys(None, task.windows)
    told = Told()
    with TemporaryDirectory(dir=task.directory, prefix=f"{os.getpid()}-") as scratch:
        store = ModelStore(Path(scratch), market.universe.name)
        run = Run(
            market=market,
            keys=keys,
            models=MODELS,
            store=store,
            journal=ToldJournal(Path(scratch, "journal", "shards"), told),
            identity=Identity("profile", "profile"),
            teacher=setting.teacher,
            student=setting.student,
            options=Options(task.workers, task.window_timeout_s, max_failure_rate=1.0),
        )
        _warm_up(market, setting, keys)
        measured = _timed(run, told) | _grown(store, keys, told, setting)
        if task.judged:
            subject = Subject("", settings, setting.teacher, setting.student)
            measured["scores"] = _judged(task, subject, market, store)
    return measured


def _warm_up(market: Market, setting: Setting, keys: Sequence[Key]) -> None:
    """Read and make all that a batch would on its way, and let LightGBM and the device build what they build once."""
    symbols = dict.fromkeys(symbol for symbol, _ in keys)
    market.findings_at_hand(symbols)
    pairs = (market.pair(*key) for key in keys)
    for pair in pairs:
        if not pair.eligible:
            continue
        try:
            lesson = market.lesson(pair)
        except WindowError:
            continue
        rows, samples = lesson.rows.train, lesson.samples
        asked = setting.teacher.lightgbm() | {"num_iterations": 1}
        fit(samples.features[rows], samples.label[rows], asked, feature_names=samples.feature_names)
        break
    for symbol in symbols:
        market.plan(symbol)
    market.findings_at_hand(symbols)


def _timed(run: Run, told: Told) -> dict[str, Any]:
    """Carry a run out and tell what it took."""
    read_mb, busy = peak_mb(), _busy_s()
    wall, cpu = perf_counter(), _own_s()
    for _ in run.carry_out(told.take, told.pools.append):
        pass
    wall_s, cpu_s = perf_counter() - wall, _own_s() - cpu
    busy_after, costs = _busy_s(), list(told.costs)
    by_model: dict[str, float] = {}
    for model, cost in costs:
        by_model[model] = by_model.get(model, 0.0) + cost.cpu_s
    others = None if busy is None or busy_after is None else max(busy_after - busy - cpu_s, 0.0) / wall_s
    return {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "cpu_by_model": by_model,
        "read_mb": read_mb,
        "peak_mb": peak_mb(),
        "others_cpu": others,
        "device_s": _known(cost.device_s for _, cost in costs),
        "joules": _known(cost.joules for _, cost in costs),
        "device_utilisation": told.utilisation,
        "device": told.devices or None,
        "failed": len(told.failures),
        "failure": next(iter(told.failures), None),
    }


def _known(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _grown(store: ModelStore, keys: Sequence[Key], told: Told, setting: Setting) -> dict[str, Any]:
    """What was trained, as the models on disk have it."""
    effective: dict[str, dict[str, set[str]]] = {model: {} for model in MODELS}
    made: dict[str, str] = {}
    trees: dict[str, str] = {}
    boosters: dict[tuple[str, str], int] = {}
    largest = {"largest_tree_leaves": 0.0, "largest_tree_depth": 0.0}
    for model in MODELS:
        shared = model == "teacher" or setting.student.scope == "pool"
        for key in keys:
            stored = store.read(model, *key)
            if stored is None:
                continue
            record, name = stored.record, " ".join((model, *key))
            trees[name], made[name] = record.trees_fingerprint, record.fingerprints.data
            of = (record.pool if shared else None) or name
            if (model, of) not in boosters:
                boosters[model, of] = record.rows.train
                found = effective_parameters(stored.text())
                for parameter in setting.lightgbm[model]:
                    effective[model].setdefault(parameter, set()).add(found.get(parameter, "not there"))
            if model == "teacher":
                largest = {metric: max(most, record.metrics[metric] or 0.0) for metric, most in largest.items()}
    pools = {one.pool.name: one.pool.rows for one in told.pools if one.status is not PoolStatus.FAILED}
    return {
        "models": len(trees),
        "boosters": len(boosters),
        "rows": sum(pools.values()) or sum(rows for (model, _), rows in boosters.items() if model == "teacher"),
        "effective": {
            model: {name: sorted(values) for name, values in own.items()} for model, own in effective.items()
        },
        "largest_leaves": int(largest["largest_tree_leaves"]),
        "largest_depth": int(largest["largest_tree_depth"]),
        "data_fingerprint": parameters_fingerprint({name: made[name] for name in made if name.startswith("teacher")}),
        "trees_fingerprint": parameters_fingerprint(trees),
        "code_fingerprint": code(),
    }


def _judged(task: Task, subject: Subject, market: Market, store: ModelStore) -> dict[str, Any]:
    """What models and baselines are worth on the windows after theirs; nothing where no row is there to tell."""
    gathered = gather(subject, market, store, windows=task.windows)
    if not len(gathered.rows):
        return {"scores": [], "remarks": gathered.remarks}
    judged = judge_forecasts(gathered.rows, gathered.forecasts, cost_bp=task.cost_bp)
    noise = _noise(task, market)
    return {
        "scores": [score.as_json() | _beside(noise, gathered, score.name) for score in judged.scores],
        "rows": len(gathered.rows),
        "dates": judged.dates,
        "blocks": judged.blocks,
        "block_length": judged.block_length,
        "first": str(judged.first),
        "last": str(judged.last),
        "windows": [window.key for window in gathered.windows],
        "remarks": gathered.remarks,
    }


def _noise(task: Task, market: Market) -> Noise | None:
    if not task.noise_windows:
        return None
    setting, settings = task.noise_setting, read_market(task.market)
    if task.setting != setting:
        market = Market.open(settings, setting.teacher, setting.student, task.features, task.symbols)
    store = NoiseStore(task.noise_directory, market.universe.name)
    how = NoiseOptions(task.noise_windows, task.workers, task.window_timeout_s)
    return noise_of(Subject("", settings, setting.teacher, setting.student), market, store, how)


def _beside(noise: Noise | None, gathered: Gathered, score: str) -> dict[str, Any]:
    if noise is None or score not in MODELS:
        return {}
    return noise.as_json(score, noise.outside(window_scores(gathered)))


def _own_s() -> float:
    """Seconds of the processor of this process, and of those that it started for devices and that have ended."""
    spent = os.times()
    return process_time() + spent.children_user + spent.children_system


def _busy_s() -> float | None:
    """Seconds for which the processors of the machine have worked since it was started; None where Linux is not."""
    try:
        name, *ticks = _STAT.read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal
    spent = [int(tick) for tick in ticks[:8]]
    return (sum(spent) - sum(spent[3:5])) / os.sysconf("SC_CLK_TCK") if name == "cpu" else None


def answer(task: str, writer: "Connection", said: str) -> None:
    """Do one task as the whole of a process, and end with whoever gave it.

    Parameters
    ----------
    task
        JSON of a `Task`.
    writer
        Where JSON of an `Answer` goes.
    said
        File that takes what libraries write to standard output and error.
    """
    with Path(said).open("wb") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    try:
        found = Answer(measured=measure(Task.model_validate_json(task)))
    except SenseQuantError as error:
        found = Answer(error=str(error))
    writer.send_bytes(found.model_dump_json().encode())
    writer.close()


def _end_with_parent() -> None:
    """Wait for the end of whoever started this process, however it comes, and measure for nobody no longer."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(Exit.BROKE_OFF)
