"""A profile as people are shown it: what each setting takes, what it makes and what that is worth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sensequant_assets.core.judging.bootstrap import COVERAGE, ENOUGH_DATES
from sensequant_assets.core.judging.noise import COVERAGE as OF_NOISE
from sensequant_assets.core.judging.noise import WIDER
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.report.charts import Chart, Point, chart
from sensequant_assets.report.pooled import MODELS as JUDGED
from sensequant_assets.report.pooled import Line, interval
from sensequant_assets.telemetry.questions.profiles import earlier_measurements, measurements
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted

BUSY = 0.1
"""Processors that others may keep busy before it is said: less is what any machine does beside."""

_COSTS = (
    "setting", "n", "seconds", "rows/s", "CPU s", "teachers", "students", "peak MB", "grew MB", "device", "held",
    "busy", "joules", "earlier",
)  # fmt: skip
_WORTH = ("score", "setting", "rows", "dates", "AUC", "rank IC", "log loss", "outside noise")
_METRICS = {"auc": (3, ""), "rank_ic": (3, "+"), "log_loss": (4, "")}
"""Digits and sign of the metrics that are shown."""

_ENDS = ("", "_low", "_high")


@dataclass(frozen=True, slots=True)
class Earlier:
    """The same setting on the same sample in an earlier profile: its runs, and what has changed since, in words."""

    profile: str
    seconds: float
    runs: int
    changed: str

    @property
    def day(self) -> str:
        """When that was, by the profile's name."""
        return f"{self.profile[:4]}-{self.profile[4:6]}-{self.profile[6:8]}"


@dataclass(frozen=True, slots=True)
class Profiled:
    """A setting with all of its runs.

    Attributes
    ----------
    number, name
        From 1, and what sets it apart.
    runs
        Its rows of the table `profiles`, the first one judged.
    earlier
        None where no earlier profile has measured it.
    twin
        Number of the first setting whose trees it has; its own where it has others.
    """

    number: int
    name: str
    runs: Sequence[Mapping[str, Any]]
    earlier: Earlier | None
    twin: int

    @property
    def times(self) -> list[float]:
        """Seconds of each run that came to its end."""
        return [run["wall_s"] for run in self.runs if run["wall_s"] is not None]

    @property
    def seconds(self) -> float | None:
        """Their median; None without any."""
        return median(self.times) if self.times else None

    @property
    def scores(self) -> Sequence[Mapping[str, Any]]:
        """What it is worth, and baselines on the same rows."""
        found: Sequence[Mapping[str, Any]] = self.runs[0]["scores"].get("scores", ())
        return found

    @property
    def failure(self) -> str:
        """Why some of it could not be trained; empty where all was."""
        return next((str(run["failure"]) for run in self.runs if run["failure"]), "")

    def middle(self, name: str) -> float | None:
        """Median of a number of its runs; None where none tells."""
        known = [run[name] for run in self.runs if run[name] is not None]
        return median(known) if known else None

    @property
    def held(self) -> float | None:
        """Seconds for which trainings held devices, as a share of the clock's; None where none did."""
        timed = (run for run in self.runs if run["device_s"] is not None and run["wall_s"])
        known = [run["device_s"] / run["wall_s"] for run in timed]
        return median(known) if known else None

    def cpu(self, *models: str) -> float | None:
        """Median of the CPU seconds of some models."""
        known = [
            sum(run["cpu_by_model"].get(model, 0.0) for model in models) for run in self.runs if run["cpu_by_model"]
        ]
        return median(known) if known else None

    def score(self, name: str) -> Mapping[str, Any] | None:
        """A score by its name; None where nothing could be judged."""
        return next((score for score in self.scores if score["score"] == name and score["rows"]), None)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title, and what its numbers are, in sentences."""

    title: str
    heads: Sequence[str]
    lines: Sequence[Line]
    notes: Sequence[str]


@dataclass(frozen=True)
class Profile:
    """A profile as far as it is measured.

    Attributes
    ----------
    name, asked
        Its name, and how many runs it asks for.
    settings
        Those that have a run, in the order of the grid.
    """

    name: str
    asked: int
    settings: Sequence[Profiled]

    @property
    def first(self) -> Mapping[str, Any]:
        """The first run of all."""
        return self.settings[0].runs[0]

    @property
    def measured(self) -> int:
        """Runs so far."""
        return sum(len(setting.runs) for setting in self.settings)

    @property
    def broke_off(self) -> list[Profiled]:
        """Settings of which a run did not come to its end."""
        return [each for each in self.settings if any(run["wall_s"] is None for run in each.runs)]

    @property
    def head(self) -> str:
        """What was measured on what, in a sentence."""
        run = self.first
        sample = f"{counted(run['symbols'], 'symbol')} and {counted(run['windows'], 'window')} of {run['universe']}"
        return (
            f"Profile {self.name}: {counted(len(self.settings), 'setting')} on {sample}, "
            f"{counted(run['workers'], 'worker')}; {self.measured} of {counted(self.asked, 'run')} measured."
        )


def read_profile(store: TelemetryStore, name: str, asked: int, against: str | None = None) -> Profile | None:
    """Read what was measured of a profile, beside what was measured of the same before; None before the first run.

    Parameters
    ----------
    store
        Where telemetry lies.
    name, asked
        Which profile, and how many runs it asks for.
    against
        The only profile to compare with; for each setting the last one before by default.
    """
    with store.session():
        rows = measurements(store, name)
        prints = [row["parameters_fingerprint"] for row in rows]
        sample = rows[0]["sample_fingerprint"] if rows else ""
        before = earlier_measurements(store, name, sample, prints, against)
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_number.setdefault(row["setting"], []).append(row)
    trees: dict[str, int] = {}
    settings = []
    for number, runs in by_number.items():
        own = runs[0]["trees_fingerprint"]
        twin = trees.setdefault(own, number) if own else number
        past = before.get(runs[0]["parameters_fingerprint"], [])
        settings.append(Profiled(number, runs[0]["name"], runs, _earlier(runs[0], past), twin))
    return Profile(name, asked, settings) if settings else None


def _earlier(run: Mapping[str, Any], past: Sequence[Mapping[str, Any]]) -> Earlier | None:
    if not past:
        return None
    kinds = {"code": "code_fingerprint", "bars": "data_fingerprint", "trees": "trees_fingerprint", "device": "device"}
    changed = [kind for kind, field in kinds.items() if run[field] != past[0][field]]
    return Earlier(
        past[0]["profile"],
        median(row["wall_s"] for row in past),
        len(past),
        f"other {', '.join(changed)}" if changed else "",
    )


def cost_table(profile: Profile) -> Table:
    """What each setting takes."""
    lines = []
    for each in profile.settings:
        grew = [run["peak_mb"] - run["read_mb"] for run in each.runs if run["peak_mb"] is not None]
        rows = each.runs[0]["rows"]
        cells = [
            str(len(each.times)), _spread(each.times),
            "-" if each.seconds is None or rows is None else f"{rows / each.seconds:,.0f}",
            _number(each.middle("cpu_s"), 2), _number(each.cpu("pool", "teacher"), 2),
            _number(each.cpu("shared_student", "student"), 2), _number(each.middle("peak_mb"), 0),
            _number(median(grew) if grew else None, 1), each.runs[0]["device"] or "-",
            _percent(each.held), _percent(each.middle("device_utilisation")), _number(each.middle("joules"), 0),
            _beside(each),
        ]  # fmt: skip
        lines.append(Line(each.name, cells))
    return Table("What it takes", _COSTS, lines, _cost_notes(profile))


def _cost_notes(profile: Profile) -> list[str]:
    notes = [
        "Seconds: the median of n runs, each in a process of its own, every setting in turn; brackets hold the fastest "
        "and the slowest. The clock runs while models are trained and stored; bars are read before. Rows/s: training "
        "rows of the teachers in a median second. CPU s: of the whole run, and of its teachers and students with their "
        "pools. Peak MB: of the process; grew: since before the first model. Held: share of the seconds for which "
        "trainings held a device other than the CPU, several devices summed; busy: how busy it says it was."
    ]
    runs = [run for each in profile.settings for run in each.runs]
    if all(run[name] is None for run in runs for name in ("device_utilisation", "joules")):
        devices = " and ".join(dict.fromkeys(run["device"] for run in runs if run["device"])) or "none"
        notes.append(f"No device tells how busy it was or its energy: teachers were trained on {devices}.")
    busy = [run["others_cpu"] for run in runs if run["others_cpu"] is not None]
    if busy and max(busy) > BUSY:
        notes.append(
            f"Other processes kept up to {max(busy):.1f} processors busy meanwhile ({median(busy):.1f} in the median "
            f"run): seconds say less for it, CPU seconds hardly."
        )
    if any(each.earlier for each in profile.settings):
        names = sorted({each.earlier.profile for each in profile.settings if each.earlier})
        notes.append(f"Earlier: seconds now over those of profile {', '.join(names)}, on the same sample.")
    return notes


def made_table(profile: Profile) -> Table:
    """What LightGBM made of each setting: parameters as the boosters have them, and the largest tree."""
    asked: dict[tuple[str, str], set[str]] = {}
    for each in profile.settings:
        for model, own in each.runs[0]["effective"].items():
            for name, values in own.items():
                asked.setdefault((model, name), set()).add(" and ".join(values))
    varied = [key for key, values in asked.items() if len(values) > 1]
    heads = ["setting", "models", "failed", "boosters", *(f"{model} {name}" for model, name in varied)]
    lines = []
    for each in profile.settings:
        run = each.runs[0]
        read = [" and ".join(run["effective"].get(model, {}).get(name, ())) or "-" for model, name in varied]
        tree = "-" if not run["largest_leaves"] else f"{run['largest_leaves']} leaves, depth {run['largest_depth']}"
        counts = ["-" if run[name] is None else f"{run[name]:,}" for name in ("models", "failed", "boosters")]
        lines.append(Line(each.name, [*counts, *read, tree]))
    notes = [
        "Parameters that differ, read back from the text of every booster"
        + ("." if varied else ": none of LightGBM's does.")
    ]
    notes += [
        f"{each.name} has the trees of {profile.settings[0].name if each.twin == 1 else _named(profile, each.twin)}: "
        "what it changes does nothing here, and a difference of its seconds is chance."
        for each in profile.settings
        if each.twin != each.number
    ]
    notes += [f"{each.name}: {each.failure}" for each in profile.settings if each.failure]
    return Table("What it makes", [*heads, "largest teacher tree"], lines, notes)


def _named(profile: Profile, number: int) -> str:
    return next(each.name for each in profile.settings if each.number == number)


def worth_table(profile: Profile) -> Table:
    """What the models of each setting are worth on the windows after theirs, and baselines."""
    lines = []
    for model in MODELS:
        for each in profile.settings:
            if score := each.score(model):
                lines.append(Line(model, [each.name, *_worth(score)], model=True))
    judged = next((each for each in profile.settings if each.scores), None)
    if judged is None:
        return Table("What it is worth", _WORTH, [], ["No window after those of the sample has labels yet."])
    lines += [
        Line(score["score"], ["-", *_worth(score)])
        for score in judged.scores
        if score["score"] not in JUDGED and score["rows"]
    ]
    return Table("What it is worth", _WORTH, lines, list(_worth_notes(profile, judged)))


def _worth(score: Mapping[str, Any]) -> list[str]:
    cells = [f"{score['rows']:,}", f"{score['dates']:,}", *(_shown(score, metric) for metric in _METRICS)]
    windows = score.get("rank_ic_windows")
    return [*cells, f"{score['rank_ic_windows_outside_band']} of {windows}" if windows else "-"]


def _shown(score: Mapping[str, Any], metric: str) -> str:
    digits, sign = _METRICS[metric]
    return interval(*(score.get(f"{metric}{end}") for end in _ENDS), digits=digits, sign=sign)


def _worth_notes(profile: Profile, judged: Profiled) -> Iterator[str]:
    told = judged.runs[0]["scores"]
    interval_said = (
        f"brackets hold the {COVERAGE:.0%} interval" if told["blocks"] > 1 else "that is too few for an interval"
    )
    blocks = f"{counted(told['blocks'], 'block')} of {counted(told['block_length'], 'date')}"
    yield (
        f"Each model on the window after its own, as `sensequant evaluate` judges: {counted(told['dates'], 'date')}, "
        f"{told['first']} to {told['last']}, {blocks}; {interval_said}."
    )
    if told["dates"] < ENOUGH_DATES:
        few = counted(told["dates"], "date")
        yield f"{few}, fewer than {ENOUGH_DATES}: intervals cover badly. Take a larger sample."
    band = next((score for score in judged.scores if "rank_ic_band_windows" in score), None)
    if band is None:
        yield "No noise band: SENSEQUANT_NOISE_WINDOWS is 0, or its twin has too few windows."
    else:
        yield (
            f"Outside noise: windows whose rank IC lies outside a band {WIDER:g} times as wide as what holds "
            f"{OF_NOISE:.0%} of {counted(band['rank_ic_band_windows'], 'window')} of the noise twin, trained by "
            f"{profile.settings[0].name}."
        )
    if len(profile.settings) > 1:
        yield (
            f"The best of {counted(len(profile.settings), 'setting')} is partly the luckiest. Each is a trial that "
            "`sensequant evaluate` and `promote` know of; choose on one sample, and judge on another."
        )
    stands = {(score["rows"], score["dates"]) for each in profile.settings if (score := each.score("teacher"))}
    if len(stands) > 1:
        yield "Settings ask for different numbers of rows, so that they stand on different windows: compare with care."


def seconds_chart(profile: Profile) -> Chart | None:
    """Seconds of each setting; None before any."""
    known = [each for each in profile.settings if each.times]
    if not known:
        return None
    reach = max(max(each.times) for each in known)
    points = [
        Point(
            str(each.number), each.seconds or 0.0, min(each.times), max(each.times),
            f"{each.name}: {_spread(each.times)} s, {counted(len(each.times), 'run')}",
        )
        for each in known
    ]  # fmt: skip
    title = f"Seconds by setting, medians and spans: {'; '.join(point.title for point in points)}"
    return chart(title, points, reach=reach, top=f"{reach:,.2f} s", signed=False, every=1)


def worth_chart(profile: Profile, model: str) -> Chart | None:
    """Rank IC of a model by setting, or its AUC less one half where there are too few symbols for one.

    None where nothing was judged.
    """
    scores = [(each, score) for each in profile.settings if (score := each.score(model))]
    for metric, called, nothing in (("rank_ic", "Rank IC", 0.0), ("auc", "AUC less one half", 0.5)):
        points = [
            Point(
                name=str(each.number),
                value=score[metric] - nothing,
                low=_less(score[f"{metric}_low"], nothing),
                high=_less(score[f"{metric}_high"], nothing),
                title=f"{each.name}: {_shown(score, metric)} of {counted(score['dates'], 'date')}",
            )
            for each, score in scores
            if score[metric] is not None
        ]
        if points:
            ends = [abs(end) for point in points for end in (point.value, point.low, point.high) if end is not None]
            reach = max([*ends, 0.01])
            title = f"{called} of {model}s by setting: {'; '.join(point.title for point in points)}"
            return chart(title, points, reach=reach, top=f"{reach:+.2f}", every=1)
    return None


def tables(profile: Profile) -> list[Table]:
    """All tables, as a terminal and the page show them."""
    return [cost_table(profile), made_table(profile), worth_table(profile)]


def _beside(each: Profiled) -> str:
    if each.earlier is None or each.seconds is None:
        return "-"
    changed = f", {each.earlier.changed}" if each.earlier.changed else ""
    past = f"{each.earlier.seconds:.2f} (n {each.earlier.runs}, {each.earlier.day}{changed})"
    return f"{each.seconds / each.earlier.seconds:.2f} x {past}"


def _less(end: float | None, nothing: float) -> float | None:
    return None if end is None else end - nothing


def _spread(times: Sequence[float]) -> str:
    if not times:
        return "-"
    return f"{median(times):.2f}" + (f" [{min(times):.2f}, {max(times):.2f}]" if len(times) > 1 else "")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
