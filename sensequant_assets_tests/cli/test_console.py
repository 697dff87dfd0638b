"""Claims about what comes from files and reaches a person: it is shown, and neither obeyed nor taken for markup."""

import html
import json
import os
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import sensequant_assets
from sensequant_assets.cli.console import console, styled
from sensequant_assets.report.page import default_path
from sensequant_assets.text import printable
from sensequant_assets_tests.running import Finished, Home, sample_bars
from sensequant_assets_tests.test_text import NASTY

PACKAGE = Path(sensequant_assets.__file__).parent
CELL = NASTY.replace("\udc80", "").replace('"', "")
"""What a CSV file in UTF-8 can hold; a cell with a line break is quoted."""
FOLDER = "bars [old] <i> *x* \x1b[31m\u202e"
SHOWN_FOLDER = r"bars [old] <i> *x* \x1b[31m\u202e"
COMMANDS = (("plan",), ("plan", "--json"), ("progress",), ("progress", "--json"), ("report",),
            ("failures", "--batches", "1"), ("failures", "--batches", "1", "--json"))  # fmt: skip
MESSAGE = "SELECT error_message AS \"\x1b[1m\" FROM window_runs WHERE outcome = 'failed' AND model = 'teacher'"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A market of two symbols; one of the files has cells that would speak for us, in a folder that would too."""
    directory = tmp_path_factory.mktemp("outside")
    bars = sample_bars(directory / FOLDER, ("AAPL", "IBM"))
    lines = (bars / "IBM.csv").read_text().splitlines()
    # So many that the whole symbol fails for them.
    for row in range(99, len(lines), 5):
        cells = lines[row].split(",")
        cells[lines[0].split(",").index("close")] = f'"{CELL}"'
        lines[row] = ",".join(cells)
    (bars / "IBM.csv").write_text("\n".join(lines) + "\n")
    universe = directory / "two.csv"
    universe.write_text(f'symbol,name,listing_date\nAAPL,"{CELL}",1990-01-01\nIBM,,1990-01-01\n')
    return Home(
        directory,
        {
            "SENSEQUANT_UNIVERSE": str(universe),
            "SENSEQUANT_BARS": str(bars),
            "SENSEQUANT_START": "2009-01-01",
            "SENSEQUANT_END": "2009-12-27",
        },
    )


@pytest.fixture(scope="module")
def trained(home: Home) -> Finished:
    """A backfill in which IBM fails for its cells."""
    return home.backfill()


def assert_shown(finished: Finished) -> None:
    """Nothing but lines of text came out."""
    for stream in (finished.out, finished.err):
        assert [line for line in stream.split("\n") if not line.isprintable()] == []


def test_a_backfill_prints_its_json_and_shows_the_cell_in_its_summary(trained: Finished) -> None:
    assert trained.code == 1, trained.err
    assert trained.json["teacher"]["failed"] == 2
    assert_shown(trained)
    assert "[/] [bold]b[/] :boom:" in trained.err
    assert r"\x1b[2J\x1b]0;title\x07" in trained.err
    assert SHOWN_FOLDER in trained.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_shows_what_a_cell_and_a_path_say(
    home: Home, trained: Finished, command: tuple[str, ...]
) -> None:
    finished = home.run(*command)
    assert finished.code == 0, finished.err
    assert_shown(finished)
    if command == ("report",):
        page = default_path(home.data, trained.json["batch_id"]).read_text()
        finished = Finished(0, html.unescape(page), page)
        assert_shown(finished)
        assert "<i>" not in page
    if command[-1] == "--json":
        texts = [str(json.loads(line)) for line in finished.out.splitlines()]
        assert any(repr(SHOWN_FOLDER)[1:-1] in text for text in texts)
    elif command[0] == "failures":
        # Its last column is folded.
        assert r"\x1b]0;title\x07" in re.sub(r"\n +", "", finished.out)
    else:
        assert r"\x1b[2J\x1b]0;title\x07" in finished.out
        assert SHOWN_FOLDER in finished.out


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_query_shows_cells_and_names_of_columns(home: Home, trained: Finished, form: str) -> None:
    finished = home.run("query", "--format", form, MESSAGE)
    assert finished.code == 0, finished.err
    assert_shown(finished)
    assert r"\x1b[2J" in finished.out.replace(r"\\", "\\")
    assert (r"\x1b[1m" if form != "json" else r"\u001b[1m") in finished.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "SELECT '\x1b[2J"),
        ("plan", "--symbols", "\x1b[2J"),
        ("plan", "--bars", "\x1b[2J"),
        ("progress", "--batch", "\x1b[2J"),
        ("plan", "\x1b[2J"),
        ("\x1b[2J",),
        ("backfill", "--param", "TEACHER_NUM_LEAVES=\x1b[2J"),
        ("plan", "--start", "\x1b[2J"),
    ],
)
def test_what_a_person_asked_for_is_quoted_and_not_obeyed(home: Home, arguments: tuple[str, ...]) -> None:
    finished = home.run(*arguments)
    assert finished.code == 2
    assert_shown(finished)
    assert r"\x1b[2J" in finished.err


def texts(value: object) -> list[str]:
    """All texts of a value of metadata."""
    if isinstance(value, dg.TableMetadataValue):
        return [str(cell) for record in value.records for cell in record.data.values()]
    return [str(value)]


def test_dagster_is_told_what_can_be_shown(home: Home, trained: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home.data / "dagster"))
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        entries = [record.event_log_entry for record in instance.get_records_for_run(run.run_id).records]
        events = [event for entry in entries if (event := entry.dagster_event)]
    told = [entry.user_message for entry in entries]
    for event in events:
        data: Any = event.event_specific_data
        for holder in (data, getattr(data, "materialization", None), getattr(data, "asset_observation", None)):
            told += [getattr(holder, "description", None) or ""]
            for value in (getattr(holder, "metadata", None) or {}).values():
                told += texts(value.value)
    assert any(r"\x1b[2J" in text for text in told)
    assert any(SHOWN_FOLDER in text for text in told)
    # What Dagster itself writes has lines, such as the traceback of a step.
    assert [text for text in told for line in text.split("\n") if not line.isprintable()] == []


def test_a_universe_whose_name_leaves_its_directory_is_refused_and_nothing_is_written(home: Home) -> None:
    for name in ("...csv", ".csv", "..csv", "-x.csv", "a\x1b[2J.csv", f"{'x' * 220}.csv"):
        universe = home.directory / name
        universe.write_text("symbol\nAAPL\n")
        before = sorted(home.directory.rglob("*"))
        for command in ("plan", "backfill", "dev"):
            finished = home.run(command, "--universe", str(universe))
            assert finished.code == 2, finished.err
            assert "cannot name a universe" in finished.err
            assert_shown(finished)
        assert sorted(home.directory.rglob("*")) == before
        universe.unlink()


def test_a_report_goes_through_a_link_and_never_takes_the_place_of_a_pipe(
    home: Home, trained: Finished, tmp_path: Path
) -> None:
    page, link, pipe = tmp_path / "page.html", tmp_path / "link.html", tmp_path / "pipe"
    page.write_text("before")
    link.symlink_to(page)
    os.mkfifo(pipe)
    assert home.run("report", "--out", str(link)).code == 0
    assert link.is_symlink()
    assert page.read_text().startswith("<!DOCTYPE html>")
    refused = home.run("report", "--out", str(pipe))
    assert refused.code == 2
    assert f"{pipe} is a FIFO, and only a regular file can be replaced." in refused.err
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "page.html", "pipe"]


def test_a_console_has_no_markup_but_its_own_styles(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(NASTY, soft_wrap=True)
    assert capsys.readouterr().out == f"{printable(NASTY)}\n"
    with console(width=500).capture() as captured:
        console(width=500).print(styled(NASTY, "red"), soft_wrap=True)
    assert captured.get() == ""
    assert styled(NASTY, "red").plain == printable(NASTY)


def test_every_console_and_every_line_of_the_command_goes_through_the_door():
    made = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if re.search(r"\bConsole\(", path.read_text())
    }
    # An answer is rendered into text, whose cells are escaped there.
    assert made == {"telemetry/render.py"}
    said = [
        line.strip()
        for path in (PACKAGE / "cli").glob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"click\.(echo|secho)\(|(?<!\.)\bprint\(", line)
    ]
    assert [line for line in said if not re.search(r"printable|json_text|render\(|NO_BATCH", line)] == []
