"""Every command on a page is run as it stands, or taken by what would run it; of foreign programs there is a list."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest

from sensequant_assets.batch.grid import settings_of as grid_of
from sensequant_assets.cli.main import main
from sensequant_assets.cli.options import settings_of
from sensequant_assets.core.bars import PRICES
from sensequant_assets.core.judging.canaries import synthetic_bars
from sensequant_assets.settings import PROJECT, parse_overrides, read_student, read_teacher
from sensequant_assets_tests.running import Finished, Home, copy_databases, leave

# The changelog tells what was.
PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
EXTRAS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

BATCH = "20260131-184502-3f9a"
"""The batch that pages name where a reader has one of his own."""

RUN = {
    "backfill", "backup", "champions", "check-bars", "completion", "coverage", "failures", "init", "limit", "plan",
    "progress", "prune", "query", "replay", "report", "restore",
}  # fmt: skip
"""Commands that are run as they stand, in seconds; all others are taken by their parser and their settings."""

ELSEWHERE = {
    "SENSEQUANT_ENGINE": "a cluster, which `make test-ray` has",
    "SENSEQUANT_DATA_DIR": "a machine beside this one",
    "nse_intraday_10.csv": "bars of 5 minutes, of symbols that the other lines have not",
    "data/vendors": "bars that a vendor has answered with",
    "--preset": "a search, which takes minutes",
}
"""What a line of a command that is run may need and is not here; its parser takes it."""

FOREIGN = {
    "cd": "the shell's",
    "cp": "copies units, which test_deploy.py reads",
    "curl": "asks the service, which service/test_app.py asks",
    "dagster": "switches what daemon/ switches by GraphQL",
    "dg": "writes into the clone; cli/test_init.py takes what it would write",
    "docker": "needs a container runtime",
    "export": "the shell's",
    "git": "asks a server",
    "install": "needs root",
    "kubectl": "needs a cluster",
    "python3": "makes an environment, as `make run` does",
    "ray": "an extra that `make test-ray` installs",
    "systemctl": "needs systemd",
    "useradd": "needs root",
}
"""Programs of others that pages name, and why no test calls them."""

CARRIERS = ("docker", "kubectl")
"""Those that are told a command of ours, which the command line takes all the same."""

FENCE = re.compile(r"(?ms)^ *```(\w*)[^\n]*\n(.*?)^ *```")


@dataclass(frozen=True)
class Command:
    """One command of a line.

    Attributes
    ----------
    page
        Where it stands.
    words
        Program and arguments.
    variables
        What is set before it, for it alone.
    """

    page: Path
    words: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        set_before = (f"{name}={value}" for name, value in self.variables.items())
        return f"{self.page.relative_to(PROJECT)}: {shlex.join([*set_before, *self.words])}"

    @property
    def ours(self) -> tuple[str, ...] | None:
        """Arguments of `sensequant`, also where another program is to start it; None without it."""
        carried = "sensequant" in self.words and self.words[0] in ("sensequant", *CARRIERS)
        return self.words[self.words.index("sensequant") + 1 :] if carried else None


def blocks(page: Path) -> Iterator[str]:
    """What stands behind the prompts of a page's blocks, with lines that go on joined; `#` is root's prompt."""
    for kind, block in FENCE.findall(page.read_text()):
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        if kind == "console":
            yield from (line.strip()[2:] for line in lines if line.lstrip().startswith(("$ ", "# ")))
        elif kind in ("bash", "sh", "shell"):
            yield from (line for line in lines if line.strip() and not line.lstrip().startswith("#"))
        else:
            assert not any(line.startswith("$ ") for line in lines), (
                f"{page.name}: a prompt in a block of {kind or 'text'}"
            )


def commands(page: Path, line: str) -> Iterator[Command]:
    """The commands of a line, as a shell cuts it."""
    shell = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    shell.whitespace_split = True
    words: list[str] = []
    for word in [*shell, ";"]:
        if word.strip("&|;"):
            words.append(word)
            continue
        plain = next((at for at, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
        assert words[plain:], f"{page.name}: {line} has a part without a program"
        yield Command(page, tuple(words[plain:]), dict(word.split("=", 1) for word in words[:plain]))
        words = []


SHOWN = [command for page in PAGES for line in blocks(page) for command in commands(page, line)]
OURS = [command for command in SHOWN if command.ours is not None]
OTHERS = [command for command in SHOWN if command.ours is None]


def parsed(arguments: Sequence[str]) -> dict[str, object]:
    """What the command line takes these arguments for; nothing is done.

    Raises
    ------
    click.UsageError
        It does not take them.
    """
    group: click.Command = main
    context = main.make_context("sensequant", list(arguments))
    while isinstance(group, click.Group):
        name, found, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        group, context = found, found.make_context(name, rest, parent=context)
    return context.params


def require(arguments: Sequence[str]) -> None:
    """Take arguments for what they set, as their command does before it begins."""
    options = parsed(arguments)
    settings_of(options)
    if "grid" in options:
        grid_of(options["grid"], options["params"], options["device"])  # type: ignore[arg-type]
        return
    teacher, student = parse_overrides(options.get("params", ()))  # type: ignore[arg-type]
    read_student(student, read_teacher(teacher).scope)


@pytest.mark.parametrize("command", OURS, ids=str)
def test_the_command_line_takes_what_a_page_tells_it(command: Command, tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    for name, value in command.variables.items():
        monkeypatch.setenv(name, value)
    require(command.ours or ())


INLINE = [
    (page, told.split())
    for page in PAGES
    for told in re.findall(r"`sensequant ([a-z][^`]*)`", FENCE.sub("", page.read_text()))
]


@pytest.mark.parametrize(("page", "words"), INLINE, ids=[f"{page.name}: {' '.join(words)}" for page, words in INLINE])
def test_a_command_within_a_sentence_is_one(page: Path, words: list[str], tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    try:
        require(words)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        # A sentence names a command by its name alone.
        assert len(words) == 1, f"{page.name}: {' '.join(words)}"


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_what_else_a_page_calls_is_there_or_is_foreign_with_a_reason(command: Command) -> None:
    program, *arguments = command.words
    name = Path(program).name
    if name == "make":
        dry = subprocess.run(["make", "--dry-run", *arguments], cwd=PROJECT, capture_output=True, text=True)
        assert dry.returncode == 0, dry.stderr
    elif name == "pip":
        asked = {extra for extras in re.findall(r"\[([\w,]+)\]", command.words[-1]) for extra in extras.split(",")}
        assert asked <= EXTRAS.keys()
    elif name in ("python", "pytest"):
        named = [word for word in arguments if "/" in word]
        assert [path for path in named if not (PROJECT / path).exists()] == []
    elif "/" in program:
        assert (PROJECT / program).stat().st_mode & 0o100, program
        assert subprocess.run(["bash", "-n", PROJECT / program]).returncode == 0
    else:
        assert name in FOREIGN, f"{command}: run it, or say why not"
    for path in arguments:
        assert not path.startswith(("deploy/", "docs/")) or list(PROJECT.glob(path)), path


def test_no_list_here_has_more_than_the_pages_need() -> None:
    assert FOREIGN.keys() - {command.words[0] for command in SHOWN} == set()
    assert RUN - {command.ours[0] for command in OURS if command.ours} == set()
    assert [needed for needed in ELSEWHERE if not any(needed in str(command) for command in OURS)] == []


def can_be_run(command: Command) -> bool:
    """Whether it is run as it stands."""
    ours = command.ours or ()
    return bool(command.words[0] == "sensequant" and ours[0] in RUN) and not any(
        needed in str(command) for needed in ELSEWHERE
    )


def write_a_market(directory: Path) -> None:
    """Write the universe and the bars that the pages name, of four of their symbols."""
    days = np.arange("2019-01-01", "2025-12-12", dtype="datetime64[D]")
    days = days[np.is_busday(days)].astype("datetime64[s]")
    frames = []
    for symbol in (symbols := ("TCS", "INFY", "RELIANCE", "SBIN")):
        bars = synthetic_bars(symbol, days, 0.02, seed=3, edge=0.0)
        frames.append(pd.DataFrame({"symbol": symbol, "date": days} | {one: getattr(bars, one) for one in PRICES}))
        frames[-1]["volume"] = bars.volume
    pd.concat(frames).to_parquet(directory / "nse_daily.parquet", index=False)
    (directory / "nifty100.csv").write_text("symbol\n" + "".join(f"{symbol}\n" for symbol in symbols))


def test_what_pages_show_is_run_as_it_stands(tmp_path: Path) -> None:
    quick = {"TEACHER_SCOPE": "pool", "TEACHER_N_ESTIMATORS": "10", "STUDENT_N_ESTIMATORS": "5"}
    desk = Home(tmp_path / "desk", {"HOME": str(tmp_path), **quick})
    batch, failed = "", []

    def run(words: list[str]) -> Finished:
        if words[0] == "init":
            made = Home(tmp_path).run(*words)
            write_a_market(desk.directory)
            copy_databases(desk.data)
            return made
        elsewhere = {"SENSEQUANT_DATA_DIR": str(tmp_path / "restored")} if words[0] == "restore" else {}
        return desk.run(*words, **elsewhere)

    shown: dict[tuple[str, ...], Command] = {}
    for command in filter(can_be_run, SHOWN):
        shown.setdefault(command.words, command)
    for command in shown.values():
        words = [word.replace(BATCH, batch).replace("/backups", f"{tmp_path}/backups") for word in command.ours or ()]
        finished = run(words)
        if finished.code:
            failed.append(f"{command}\n{finished.out[-1000:]}{finished.err[-1000:]}")
        elif words[0] == "backfill" and not batch:
            batch = desk.rows("SELECT batch_id FROM batches")[0]["batch_id"]
    assert failed == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a link that leads nowhere, or a page that the navigation lacks, is an error of its own."""
    directory = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [Path(sys.executable).with_name("mkdocs"), "build", "--site-dir", directory],
        cwd=PROJECT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return directory


def test_the_site_has_every_page_and_its_own_part_of_the_readme(site: Path) -> None:
    pages = {path.relative_to(PROJECT / "docs").with_suffix(".html") for path in (PROJECT / "docs").rglob("*.md")}
    lacking = {
        page.as_posix() for page in pages if not (site / page.with_name(page.name.replace("README", "index"))).exists()
    }
    assert lacking == set()
    front = (site / "index.html").read_text()
    assert "What a failure costs" in front
    assert 'href="contributing.html"' in front
    assert 'src="graph.png"' in front


def test_a_reader_of_the_site_asks_nobody_else(site: Path) -> None:
    fetching = re.compile(
        r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//[^"'> ]*|url\(["']?(?:https?:)?//"""
    )
    asked = {
        (path.relative_to(site).as_posix(), found)
        for path in [*site.rglob("*.html"), *site.rglob("*.css")]
        for found in fetching.findall(path.read_text())
    }
    assert asked == set()
