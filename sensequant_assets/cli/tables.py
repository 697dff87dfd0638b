"""Tables for the terminal."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensequant_assets.cli.console import styled
from sensequant_assets.core.outcome import COUNTED, Outcome, Status, Verdict
from sensequant_assets.core.parameters import MODELS, ModelKind
from sensequant_assets.errors import FailedWindow, failed_alike
from sensequant_assets.settings import Settings

FAILURES_SHOWN = 5
_QUESTION = 'sensequant query "SELECT * FROM window_runs"'


@dataclass(slots=True)
class Told:
    """What a run says of its batch while it goes on.

    Attributes
    ----------
    planned
        Pairs of each model.
    max_failure_rate
        The limit.
    verdicts
        By model, as the check gave them.
    """

    planned: int
    max_failure_rate: float
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    _counts: dict[ModelKind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _constant: Counter[ModelKind] = field(default_factory=Counter)
    _skips: Counter[str] = field(default_factory=Counter)
    _served: Counter[tuple[str, str]] = field(default_factory=Counter)
    _failed: list[FailedWindow] = field(default_factory=list)

    def outcome(self, outcome: Outcome) -> None:
        """Take in what became of a window."""
        model: ModelKind = "teacher" if outcome.model == "teacher" else "student"
        self._counts[model][outcome.status] += 1
        self._constant[model] += outcome.constant is True
        if outcome.status is Status.SKIPPED and model == "teacher":
            self._skips[str(outcome.reason)] += 1
        if outcome.pair.served_by and outcome.status is Status.REUSED and model == "teacher":
            self._served[outcome.pair.window.key, outcome.pair.served_by.window.key] += 1
        if outcome.status is Status.FAILED:
            why = (str(outcome.failure), outcome.error_message)
            self._failed.append(FailedWindow(outcome.model, outcome.pair.symbol, outcome.pair.window.key, *why))

    def verdict(self, verdict: Verdict) -> None:
        """Take in the verdict on a model."""
        self.verdicts[verdict.model] = verdict

    def models(self) -> list[Verdict]:
        """Counts of each model that was begun, teachers first; of one without a verdict as far as it came."""
        begun = {model: self._as_far_as_it_came(model) for model in MODELS if model in self._counts}
        return [found for model in MODELS if (found := self.verdicts.get(model) or begun.get(model))]

    def skips(self) -> list[tuple[str, int]]:
        """How many pairs were skipped, by reason, the most frequent first."""
        return sorted(self._skips.items(), key=lambda skip: (-skip[1], skip[0]))

    def served(self) -> list[tuple[str, str, int]]:
        """How many pairs of which window the models of which earlier one serve."""
        return [(window, by, count) for (window, by), count in sorted(self._served.items())]

    def failed(self) -> list[str]:
        """What failed and why: a sentence for all windows of a symbol that failed alike, the first to fail first."""
        return [
            f"failed {one.model} {one.symbol} {one.which}: {one.cause}: {one.error}"
            for one in failed_alike(self._failed)
        ]

    def _as_far_as_it_came(self, model: ModelKind) -> Verdict:
        counts = self._counts[model]
        rest = {"not_attempted": self.planned - counts.total(), "constant": self._constant[model]}
        return Verdict.of(model, dict.fromkeys(COUNTED, 0) | counts | rest, self.max_failure_rate)


def summary_table(console: Console, batch_id: str, told: Told) -> None:
    """Print what became of a batch: counts and verdict by model, skips by reason, first failures."""
    models = told.models()
    table = Table(title=f"Batch {batch_id}")
    for name in ("model", "eligible", *(name.replace("_", " ") for name in COUNTED), "failure rate", "check"):
        table.add_column(name, justify="left" if name in ("model", "check") else "right")
    for model in models:
        table.add_row(
            model.model,
            str(model.eligible),
            *map(str, model.counts.values()),
            "-" if model.failure_rate is None else f"{model.failure_rate:.1%}",
            _check(model, judged=model.model in told.verdicts),
        )
    console.print(table)
    for reason, count in told.skips():
        console.print(f"skipped {count} windows: {reason}")
    for window, by, count in told.served():
        console.print(f"reused for {count} pairs of window {window}, which has too few rows yet: models of window {by}")
    for model in models:
        if model.constant:
            of = f"{model.constant} of {model.models} {model.model}s"
            console.print(Text.assemble(("constant", "yellow"), f" {of} say the same of every row: they know nothing"))
        limit = model.limit_by and f"The limit of the {model.model}s was {model.limit_by}."
        for said in filter(None, (limit, model.stopped, model.blocked)):
            console.print(styled(said), soft_wrap=True)
    _failures(console, told.failed())


def _failures(console: Console, failed: list[str]) -> None:
    """Print the first of what failed, and how it is tried again."""
    for said in failed[:FAILURES_SHOWN]:
        console.print(said, soft_wrap=True)
    if more := len(failed[FAILURES_SHOWN:]):
        console.print(f"... and {more} more such lines, which `sensequant failures` has")
    if failed:
        console.print("`sensequant backfill --select failed` tries them again")


def where_it_is(console: Console, settings: Settings) -> None:
    """Print where models and telemetry lie, and how to look at them."""
    console.print(f"models     {settings.models_dir}", soft_wrap=True)
    console.print(f"telemetry  {settings.telemetry_dir}   {_QUESTION}", soft_wrap=True)
    console.print("UI         sensequant dev")


def _check(model: Verdict, *, judged: bool) -> Text:
    if not judged:
        return styled("not evaluated", "red")
    if not model.eligible:
        return styled("nothing to attempt", "yellow")
    if model.failure_rate is None:
        return styled("failed", "red").append(" (blocked)", "default")
    said = styled("passed", "green") if model.passed else styled("failed", "red")
    return said.append(f" (limit {model.max_failure_rate:.1%})", "default")
