"""What of the site is made: tables of what the code knows, and pages that stand outside docs/.

`python docs/pages.py` writes the tables into their pages, between two comments that name them; MkDocs asks `on_files`
while it builds the site.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from pydantic import BaseModel

from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import FailureKind
from sensequant_assets.settings import (
    PROJECT,
    MarketSettings,
    Settings,
    describe_bounds,
    describe_default,
    variable_of_setting,
)
from sensequant_assets.telemetry.records import (
    BarOutcome,
    BatchStart,
    CheckVerdict,
    Evaluation,
    Event,
    Measurement,
    Prediction,
    Record,
    RunEnd,
    Trial,
    WindowRun,
)
from sensequant_assets.telemetry.schema import TABLES, VIEWS

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

DOCS = PROJECT / "docs"

OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages at the top of the project, and what they are called in the site."""


def _table(*head: str) -> tuple[str, str]:
    return f"| {' | '.join(head)} |", "|---" * len(head) + "|"


def _settings_of(model: type[BaseModel], names: Iterable[str], variable: Callable[[str], str]) -> Iterator[str]:
    yield from _table("variable", "default", "allowed", "meaning")
    for name in names:
        default = describe_default(model, name)
        shown = f"`{default}`" if default else ""
        pooled = getattr(model, "POOLED", {}).get(name)
        if pooled is not None:
            shown += f", pool `{pooled}`"
        meaning = model.model_fields[name].description
        yield f"| `{variable(name)}` | {shown} | {describe_bounds(model, name)} | {meaning} |"


def settings() -> Iterator[str]:
    """Every setting with its default and bounds: the market's, how models are made of it, and how all of it runs."""
    made, market = Recipe.model_fields.keys(), MarketSettings.model_fields.keys()
    fields = list(Settings.model_fields)
    for title, names in {
        "The market": [name for name in fields if name in market - made],
        "Labels and rows": [name for name in fields if name in made],
        "How it runs": [name for name in fields if name not in market],
    }.items():
        yield from (f"## {title}", "", *_settings_of(Settings, names, variable_of_setting), "")
    families: dict[str, type[BaseModel]] = {"Teachers": TeacherParameters, "Students": StudentParameters}
    for title, model in families.items():
        variable = _variable_of(title.removesuffix("s").upper())
        yield from (f"## {title}", "", *_settings_of(model, model.model_fields, variable), "")


def _variable_of(family: str) -> Callable[[str], str]:
    return lambda name: f"{family}_{name.upper()}"


def causes() -> Iterator[str]:
    """Every cause of failure with what to do."""
    yield from _table("cause", "can pass next time", "what to do")
    for kind in FailureKind:
        yield f"| `{kind}` | {'yes' if kind.transient else 'no'} | {kind.advice} |"
    yield ""


TOLD_BY: Mapping[str, tuple[type[Record], ...]] = {
    "batches": (BatchStart,),
    "runs": (BatchStart, RunEnd),
    "planned_windows": (WindowRun,),
    "window_runs": (WindowRun,),
    "verdicts": (CheckVerdict,),
    "trials": (Trial,),
    "evaluations": (Evaluation,),
    "profiles": (Measurement,),
    "predictions": (Prediction,),
    "outcomes": (BarOutcome,),
    "events": (Event,),
    "shards": (),
    "last_attempts": (WindowRun,),
    "pair_status": (WindowRun,),
    "window_status": (WindowRun,),
    "batch_summary": (CheckVerdict,),
    "costs": (WindowRun,),
    "batch_costs": (WindowRun,),
}
"""Records whose fields are columns of a table or view."""

OTHERWISE = {
    "batch_id": "Name of the batch.",
    "run_id": "Of the run that told it; empty where it is of the whole batch.",
    "ordered_at": "Decides what is later, and does not run backwards when the clock does.",
}
"""Columns that no record tells."""

OF_ITS_OWN = {
    "batches.ended_at": "When its last run ended; null while one goes on.",
    "batches.last_event_at": "Time of the last line that was told of it.",
    "batches.status": "`running`, `succeeded`, `failed` or `interrupted`, as its runs came to.",
    "batches.planned_teachers": "Windows that its plans name.",
    "batches.planned_students": "Windows that its plans name.",
    "runs.end_ordered_at": "As `ordered_at`, of the end.",
    "runs.status": "`running`, `succeeded`, `failed` or `interrupted`.",
    "planned_windows.run_id": "Of the run that is to attempt it; empty before one has said so.",
    "events.happened_at": "When it was told.",
    "events.shard": "The journal's file, and where its line begins there, in bytes.",
    "events.shard_offset": "The journal's file, and where its line begins there, in bytes.",
    "shards.name": "The journal's file.",
    "shards.offset_bytes": "How much of it was taken in.",
    "shards.complete": "Whether its run has closed it.",
    "shards.broken_lines": "Lines that were no records; each is an event.",
    "window_status.outcome": "Of the last attempt; `not_attempted` where a planned window has none.",
    "window_status.run_id": "Of the last attempt, or of the run that is to make it.",
    "window_status.planned": "Whether the batch planned it.",
    "batch_summary.planned": "How many windows its plans name.",
    "batch_summary.attempted": "Trained, reused or failed ones.",
    "batch_summary.failure_rate": "Failed over attempted windows; null if nothing was attempted.",
    "batch_summary.constant": "Models that say the same of every row.",
    "batch_summary.started_at": "Of the first attempt, and the end of the last.",
    "batch_summary.ended_at": "Of the first attempt, and the end of the last.",
    "batch_summary.windows_per_s": "Attempted windows by the seconds between these two.",
    "costs.model": "`teacher` or `student`; of a pool, what it made.",
    "costs.symbol": "Null for a pool.",
    "costs.outcome": "Of the attempt; of a pool, its status.",
    "costs.rows": "Training rows.",
    "costs.wall_s": "Seconds of the clock, and of the processor.",
    "costs.cpu_s": "Seconds of the clock, and of the processor.",
    "batch_costs.model": "As of `costs`; `all` is the whole of the batch's runs.",
    "batch_costs.models": "How many; null for `all`.",
    "batch_costs.wall_s": "Seconds of the clock, and of the processor, in sum.",
    "batch_costs.cpu_s": "Seconds of the clock, and of the processor, in sum.",
    "batch_costs.peak_mb": "The most of any of them.",
    "batch_costs.device_s": "As of `costs`, in sum.",
    "batch_costs.joules": "As of `costs`, in sum.",
}
"""Columns that mean something of their own in a table or view."""


def _meanings(record: type[Record]) -> Iterator[tuple[str, str]]:
    """Fields of a record, and what its docstring says of each."""
    _, _, told = (inspect.getdoc(record) or "").partition("Attributes\n----------\n")
    for names, text in re.findall(r"(?m)^(\S.*)\n((?: +.*\n?)+)", told):
        meaning = re.sub(r"\bNone\b", "null", " ".join(text.split()))
        yield from ((name, meaning) for name in names.split(", "))


def columns() -> Iterator[str]:
    """Every column of telemetry, table by table, from the layout itself and what records say of their fields."""
    with duckdb.connect() as empty:
        empty.execute(TABLES + VIEWS)
        found = empty.execute(
            "SELECT table_name, column_name, replace(data_type, 'TIMESTAMP WITH TIME ZONE', 'TIMESTAMPTZ') "
            "FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
        ).fetchall()
        keys = dict(
            empty.execute(
                "SELECT table_name, constraint_column_names FROM duckdb_constraints() "
                "WHERE constraint_type = 'PRIMARY KEY'"
            ).fetchall()
        )
    layout = {table: list(rows) for table, rows in groupby(found, key=lambda row: row[0])}
    del layout["schema_version"]
    for table, records in TOLD_BY.items():
        told = OTHERWISE | {name: text for record in records for name, text in _meanings(record)}
        rows = [(OF_ITS_OWN.get(f"{table}.{name}") or told[name], name, kind) for _, name, kind in layout.pop(table)]
        yield from (f"### `{table}`", "")
        if table in keys:
            yield from (f"One row for each {', '.join(f'`{name}`' for name in keys[table])}.", "")
        yield from _table("column", "type", "meaning")
        for meaning, same in groupby(rows, key=lambda row: row[0]):
            names, kinds = zip(*((name, kind) for _, name, kind in same), strict=True)
            shown = ", ".join(f"`{name}`" for name in names), ", ".join(dict.fromkeys(kinds))
            yield f"| {shown[0]} | {shown[1]} | {meaning} |"
        yield ""
    if layout:
        raise ValueError(f"TOLD_BY does not say whose columns {', '.join(layout)} has.")


MADE: Mapping[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "settings.md": ("settings", settings),
    "operating.md": ("causes", causes),
    "telemetry.md": ("columns", columns),
}
"""Pages with a table that is made: its name there, and its lines."""


def as_made(page: Path) -> str:
    """The text of a page with its table as the code has it."""
    name, lines = MADE[page.name]
    begin, end = f"<!-- {name}: made by docs/pages.py -->", f"<!-- end of {name} -->"
    before, separator, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (separator and closed):
        raise ValueError(f"{page.name} has no place for {name}: write {begin} and {end} into it.")
    return "\n".join([f"{before}{begin}", "", *lines(), f"{end}{after}"])


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Take in the pages outside, with links as they are within docs/; MkDocs calls it so."""
    from mkdocs.structure.files import File

    for name, page in OUTSIDE.items():
        text = (PROJECT / name).read_text().replace("](docs/", "](")
        files.append(File.generated(config, page, content=_outside(text, "")))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead to the pages outside where they are in the site; MkDocs calls it so."""
    return _outside(markdown, "../")


def _outside(text: str, up: str) -> str:
    for name, page in OUTSIDE.items():
        text = re.sub(rf"\]\({re.escape(up + name)}([)#])", rf"]({page}\1", text)
    return text


if __name__ == "__main__":
    for name in MADE:
        (DOCS / name).write_text(as_made(DOCS / name))
