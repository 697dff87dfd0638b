"""A briefing: what is to be known of a batch before its students serve, in two minutes, each number with its source."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sensequant_assets.report import backtest as backtests
from sensequant_assets.report.charts import Chart
from sensequant_assets.report.page import briefing_path, rendered
from sensequant_assets.report.pooled import METRICS, course, pooled
from sensequant_assets.text import counted, markdown_text

YES, NO, OPEN = "yes", "no", "not covered"
"""What a line of the checklist may be."""

_COLUMNS = ("AUC", "rank IC", "over base rate", "net top decile %")
_NAMED = 5
_TEACHERS = re.compile(r"^Teachers' |\bwith a teacher\b|\bteachers outside\b")


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, and the marks of where its numbers come from."""

    text: str
    marks: Sequence[int] = ()
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its title with the marks of where its numbers come from; `bold` are rows that matter most."""

    title: Line
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    bold: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a briefing.

    Attributes
    ----------
    title
        Its heading.
    lines
        Sentences.
    table
        None without one.
    course, curves
        Pictures; None without one.
    """

    title: str
    lines: Sequence[Line] = ()
    table: Table | None = None
    course: Chart | None = None
    curves: backtests.Curves | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the checklist: `YES`, `NO` or `OPEN`."""

    state: str
    line: Line


@dataclass(frozen=True, slots=True)
class Footnote:
    """Where numbers come from, by its mark."""

    mark: int
    name: str
    question: str
    batch: str
    digest: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A briefing as it is shown.

    Attributes
    ----------
    batch_id, universe, made_at
        What it is about, and when it was made.
    word, lead
        The recommendation in a word or two, and in sentences.
    sections, checklist, footnotes
        The rest.
    """

    batch_id: str
    universe: str
    made_at: str
    word: str
    lead: Sequence[Line]
    sections: Sequence[Section]
    checklist: Sequence[Item]
    footnotes: Sequence[Footnote]


def briefing_paths(data_dir: Path, batch_id: str) -> tuple[Path, Path, Path]:
    """Where page, text and record of a batch's briefing go."""
    page = briefing_path(data_dir, batch_id)
    return page, page.with_suffix(".md"), page.with_suffix(".json")


def page(facts: Mapping[str, Any]) -> str:
    """The briefing as an HTML page that needs nothing but itself; every text in it is escaped.

    Parameters
    ----------
    facts
        As `batch.briefing` puts them together.
    """
    return rendered("briefing.html.j2", briefing=drawn(facts))


def markdown(facts: Mapping[str, Any]) -> str:
    """The same as Markdown; a picture is what it shows in words."""
    shown = drawn(facts)
    return "\n".join(_markdown(shown)) + "\n"


@dataclass
class _Marks:
    """Numbers the sources in the order in which they are named."""

    sources: Mapping[str, Mapping[str, str]]
    used: list[str] = field(default_factory=list)

    def line(self, text: str, *names: str, strong: bool = False) -> Line:
        for name in names:
            if name not in self.used:
                self.used.append(name)
        return Line(text, [self.used.index(name) + 1 for name in names], strong)

    @property
    def footnotes(self) -> list[Footnote]:
        return [Footnote(number, name, **self.sources[name]) for number, name in enumerate(self.used, start=1)]


def drawn(facts: Mapping[str, Any]) -> Drawn:
    """Lay a briefing out."""
    marks = _Marks(facts["sources"])
    word, lead = _recommendation(facts, marks)
    checklist = list(_checklist(facts, marks))
    sections = [
        _rule(facts, marks),
        _evidence(facts, marks),
        _portfolio(facts, marks),
        _stress(facts, marks),
        _training(facts, marks),
        _data(facts, marks),
    ]
    sections.append(_not_covered(facts, marks))
    return Drawn(
        facts["batch_id"], facts["universe"], facts["made_at"], word, lead, sections, checklist, marks.footnotes
    )


def _recommendation(facts: Mapping[str, Any], marks: _Marks) -> tuple[str, list[Line]]:
    """The very rule of `sensequant promote`, in a word and in sentences."""
    rule, findings = facts["promotion"], facts["findings"]
    conditions, failed = rule["conditions"], [one for one in rule["conditions"] if not one["passed"]]
    serves = f"version {rule['against']}" if rule["against"] else "nothing"
    if rule["serves"]:
        word, said = "serves already", f"The students of this batch serve already, as {serves}."
    elif rule["passed"]:
        word = "promote"
        said = f"Promote. All {len(conditions)} conditions of the rule of promotion pass; {serves} serves today."
    else:
        word, names = "do not promote", "; ".join(one["wanted"] for one in failed)
        said = (
            f"Do not promote. {len(failed)} of {counted(len(conditions), 'condition')} of the rule of promotion "
            f"{'fails' if len(failed) == 1 else 'fail'}: {names}. {serves.capitalize()} serves today."
        )
    head = findings["head"]
    stands = (
        f"It stands on {counted(head['rows'], 'row')} of {counted(head['symbols'], 'symbol')} and "
        f"{counted(head['dates'], 'date')}, {head['first']} to {head['last']}, each judged by a model of the window "
        f"before; intervals hold {head['coverage']:.0%} and are drawn over {counted(head['blocks'], 'block')} of "
        f"{counted(head['block_length'], 'date')}. {counted(rule['trials'], 'set')} of parameters "
        f"{'was' if rule['trials'] == 1 else 'were'} tried on this universe."
    )
    return word, [marks.line(said, "rule", strong=True), marks.line(stands, "evaluation", "rule")]


def _rule(facts: Mapping[str, Any], marks: _Marks) -> Section:
    rows = [
        (
            one["wanted"], "passed" if one["passed"] else "FAILED", *_found(one),
            f"{one['rows']:,}", f"{one['dates']:,}", f"{one['blocks']:,}",
        )
        for one in facts["promotion"]["conditions"]
    ]  # fmt: skip
    title = marks.line("What the rule of promotion asks, and what the students show.", "rule")
    heads = ("condition", "", "value [interval]", "against", "rows", "dates", "blocks")
    bold = [number for number, one in enumerate(facts["promotion"]["conditions"]) if not one["passed"]]
    return Section("The rule", table=Table(title, heads, rows, bold))


def _found(one: Mapping[str, Any]) -> tuple[str, str]:
    """What a condition found, and what that is held against."""
    if one["condition"] == "dates":
        return f"{one['dates']:,}", f"{one['baseline']:,.0f}"
    if one["value"] is None:
        return "the rows cannot answer", "-"
    ends = f" [{one['low']:+.4f}, {one['high']:+.4f}]" if one["low"] is not None else " (no interval)"
    return f"{one['value']:+.4f}{ends}", "-" if one["baseline"] is None else f"{one['baseline']:.4f}"


def _evidence(facts: Mapping[str, Any], marks: _Marks) -> Section:
    shown = pooled(facts["findings"])
    places = [number for number, (heading, *_) in enumerate(METRICS, start=1) if heading in _COLUMNS]
    rows = [(line.name, line.cells[0], *(line.cells[at] for at in places)) for line in shown.scores]
    heads = ("score", "rows", *(METRICS[at - 1][0] for at in places))
    title = marks.line("Models beside baselines that need no model; brackets hold the interval.", "evaluation")
    # What serves are students; of teachers the report tells.
    said = [sentence for sentence in (*shown.sentences, *facts["noise"]) if not _TEACHERS.search(sentence)]
    lines = [marks.line(sentence, "evaluation") for sentence in said]
    if facts["canaries"]:
        lines.append(marks.line(facts["canaries"], "canaries"))
    months = facts["findings"]["months"].get("student") or []
    bold = [number for number, line in enumerate(shown.scores) if line.name == "student"]
    drawing = course("student", months) if months else None
    return Section("Evidence", lines, Table(title, heads, rows, bold), course=drawing)


def _portfolio(facts: Mapping[str, Any], marks: _Marks) -> Section:
    found = facts["backtest"]
    if found is None:
        why = f"Not covered: nobody has backtested this batch as it is. sensequant backtest {facts['batch_id']}"
        return Section("Portfolio", [Line(why)])
    shown = backtests.drawn(found)
    lines = [marks.line(shown.verdict, "backtest", strong=True)]
    lines += [marks.line(sentence, "backtest") for sentence in shown.sentences]
    title = marks.line(f"What 1 became of, {found['first']} to {found['last']}, net of costs.", "backtest")
    rows = [(name, *cells) for name, cells in shown.sides]
    return Section("Portfolio", lines, Table(title, shown.heads, rows), curves=shown.picture)


def _stress(facts: Mapping[str, Any], marks: _Marks) -> Section:
    found = facts["stress"]
    if "why" in found:
        return Section("Stress", [Line("Not covered: there is no stress test. That is no pass."), Line(found["why"])])
    rows = [(one["name"], one["state"], one["said"]) for one in found["tests"]]
    title = marks.line(
        "Periods of the past, then shocks to the newest bars; what is not covered is never passed.", "stress"
    )
    bold = [number for number, one in enumerate(found["tests"]) if one["state"] == "failed"]
    lines = [marks.line(found["said"], "stress", strong=True)]
    lines += [marks.line(remark, "stress") for remark in found["remarks"]]
    return Section("Stress", lines, Table(title, ("test", "state", "what it came to"), rows, bold))


def _training(facts: Mapping[str, Any], marks: _Marks) -> Section:
    told = facts["training"]
    lines = [marks.line(sentence, "outcomes", "verdicts") for sentence in told["sentences"]]
    lines += [marks.line(f"failed: {_cause(one)}", "failures") for one in told["failures"][:_NAMED]]
    lines += [marks.line(f"skipped: {_cause(one)}", "skips") for one in told["skips"][:_NAMED]]
    heads = ("model", "planned", "trained", "reused", "skipped", "failed", "not attempted", "constant")
    names = ("planned", "trained", "reused", "skipped", "failed", "not_attempted", "constant")
    rows = [(one["model"], *(f"{one[name]:,}" for name in names)) for one in told["models"]]
    title = marks.line(f"Windows of the batch, whose verdict is: {told['word']}.", "outcomes", "settings")
    return Section("Training", lines, Table(title, heads, rows))


def _cause(one: Mapping[str, Any]) -> str:
    models = ", ".join(counted(number, model) for model, number in one["models"].items())
    return f"{models}, {one['name']}. {one['example']}".strip()


def _data(facts: Mapping[str, Any], marks: _Marks) -> Section:
    told = facts["data"]
    rules = ", ".join(f"{one['findings']:,} {one['rule']} ({one['severity']})" for one in told["rules"])
    said = f"The rules on bars found {counted(told['errors'], 'error')} and {counted(told['warnings'], 'warning')}"
    lines = [marks.line(f"{said}{f': {rules}' if rules else ''}.", "findings")]
    lines += [marks.line(example, "findings") for example in told["examples"]]
    covered = told["coverage"]
    if covered:
        of, empty = counted(covered["symbols"], "symbol"), covered["empty"]
        names = f": {', '.join(empty[:_NAMED])}" if empty else ""
        missing = f"{covered['missing']:,} of {covered['sessions']:,} sessions of {of} have no bar"
        said = (
            f"{missing}, {covered['first']} to {covered['last']}; {counted(len(empty), 'symbol')} without any{names}."
        )
        lines.append(marks.line(said, "coverage"))
    return Section("Data", lines)


def _checklist(facts: Mapping[str, Any], marks: _Marks) -> Iterator[Item]:
    training, rule, data, batch_id = facts["training"], facts["promotion"], facts["data"], facts["batch_id"]
    yield _item(training["word"] == "passed", marks.line("The batch is over, and its check has passed.", "outcomes"))
    yield Item(YES, marks.line(f"Evaluation {facts['evaluation']} is of the models that the batch has.", "evaluation"))
    yield _item(rule["passed"], marks.line("Every condition of the rule of promotion passes.", "rule"))
    yield _item(_beats_baselines(facts), marks.line("Students rank surely better than their baseline.", "evaluation"))
    band = marks.line("Windows are set beside a noise band.", "evaluation")
    yield (
        Item(YES, band)
        if facts["noise"]
        else Item(OPEN, Line(f"No noise band: sensequant evaluate --batch {batch_id}"))
    )
    tested = facts["backtest"]
    yield (
        Item(OPEN, Line(f"No backtest: sensequant backtest {batch_id}"))
        if tested is None
        else _item(
            (tested["excess_low"] or 0) > 0,
            marks.line("The portfolio earned surely more than its universe, net of costs.", "backtest"),
        )
    )
    stressed = facts["stress"]
    yield (
        Item(OPEN, Line("No stress test."))
        if "why" in stressed
        else _item(stressed["passed"], marks.line("A stress test fails nowhere and passes a period.", "stress"))
    )
    yield _item(data["errors"] == 0, marks.line("The rules on bars find no error.", "findings"))
    yield Item(OPEN, Line(f"Every number computed again: sensequant verify-batch {batch_id}"))


def _item(passed: bool, line: Line) -> Item:
    return Item(YES if passed else NO, line)


def _beats_baselines(facts: Mapping[str, Any]) -> bool:
    """Whether the rank IC of students is surely above that of the baseline that it is compared with."""
    found = [
        each["low"]
        for score in facts["findings"]["scores"]
        if score["score"] == "student"
        for each in score["differences"]
        if each["metric"] == "rank_ic" and each["less"] not in ("teacher", "pool")
    ]
    return bool(found) and all(low is not None and low > 0 for low in found)


def _not_covered(facts: Mapping[str, Any], marks: _Marks) -> Section:
    lines = [marks.line(remark, "rule") for remark in facts["promotion"]["remarks"]]
    if facts["backtest"] is None:
        lines.append(Line("What a portfolio would have come to: there is no backtest."))
    if "why" in facts["stress"]:
        lines.append(Line("What the models do in a crash, a gap or with a feed that stops: there is no stress test."))
    elif uncovered := [one["name"] for one in facts["stress"]["tests"] if one["state"].startswith(("not", "covered"))]:
        lines.append(marks.line(f"Periods of the stress test, in part or wholly: {', '.join(uncovered)}.", "stress"))
    if not facts["noise"]:
        lines.append(Line("Which windows lie outside what noise gives: there is no noise band."))
    if not facts["canaries"]:
        lines.append(Line("Whether those who judge are awake: there are no canaries of this batch."))
    if not facts["data"]["coverage"]:
        lines.append(Line("Which bars are missing: no run has read those of the whole universe."))
    lines += [
        Line("Symbols that the universe's file does not have, such as those that were delisted before it was written."),
        Line("Days to come. All of it is of past bars, and of no order's own effect on prices."),
    ]
    return Section("What is not covered", lines)


def _markdown(shown: Drawn) -> Iterator[str]:
    yield f"# Briefing: batch {markdown_text(shown.batch_id)} of {markdown_text(shown.universe)}: {shown.word}"
    yield ""
    yield f"Made {markdown_text(shown.made_at)}."
    for line in shown.lead:
        yield ""
        yield _md(line)
    yield from ("", "## Checklist", "")
    for item in shown.checklist:
        yield f"- [{'x' if item.state == YES else ' '}] {item.state}: {_md(item.line)}"
    for section in shown.sections:
        yield from ("", f"## {markdown_text(section.title)}", "")
        if section.table:
            yield from _md_table(section.table)
            yield ""
        for picture in (section.course, section.curves):
            if picture:
                yield from (f"*{markdown_text(picture.title)}*", "")
        for line in section.lines:
            yield f"- {_md(line)}"
    yield from ("", "## Where each number comes from", "")
    yield "| | what | question | batch | digest of the answer |"
    yield "|---|---|---|---|---|"
    for note in shown.footnotes:
        cells = (note.name, note.question, note.batch, note.digest)
        yield f"| {note.mark} | {' | '.join(map(markdown_text, cells))} |"


def _md(line: Line) -> str:
    text = markdown_text(line.text)
    marks = "".join(f" [{mark}]" for mark in line.marks)
    return f"**{text}**{marks}" if line.strong else f"{text}{marks}"


def _md_table(table: Table) -> Iterator[str]:
    yield _md(table.title)
    yield ""
    yield f"| {' | '.join(map(markdown_text, table.heads))} |"
    yield f"|---|{'---:|' * (len(table.heads) - 1)}"
    for row in table.rows:
        yield f"| {' | '.join(map(markdown_text, row))} |"
