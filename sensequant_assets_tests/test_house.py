"""Claims about where things live: each module in its room, each with tests at the same place."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "sensequant_assets"
TESTS = PROJECT / "sensequant_assets_tests"
DECISIONS = PROJECT / "docs" / "decisions"

TESTED_ELSEWHERE = {
    "batch/backtesting.py": ("cli/test_champions.py", "a batch is backtested by a command"),
    "batch/briefing.py": ("batch/test_certificate.py", "a briefing is written of a batch that is verified"),
    "batch/comparing.py": ("batch/test_certificate.py", "what differs is named by a certificate"),
    "batch/bench.py": ("batch/test_tuning.py", "a point is trained by the search that tries it"),
    "batch/explaining.py": ("cli/test_predict.py", "an explanation is printed"),
    "batch/inspection.py": ("batch/test_certificate.py", "models are inspected for a certificate"),
    "batch/monitoring.py": ("cli/test_predict.py", "live predictions are made by a command"),
    "batch/outcomes.py": ("cli/test_predict.py", "outcomes are of what a command predicted"),
    "batch/profiling.py": ("cli/test_profile.py", "a profile is killed and resumed as a command"),
    "batch/promotion.py": ("cli/test_champions.py", "a batch is promoted by a command"),
    "batch/recorded.py": ("batch/test_certificate.py", "what was recorded is what is verified"),
    "batch/rows.py": ("batch/test_run.py", "a row is asked for by the run that writes it"),
    "batch/serving.py": ("cli/test_predict.py", "who serves is seen of what is predicted"),
    "batch/stress.py": ("cli/test_champions.py", "a champion is tested by a command"),
    "batch/trainer.py": ("batch/test_run.py", "what becomes of a pair is seen of its run"),
    "batch/windows.py": ("batch/test_run.py", "threads, deadlines and rows are seen of their run"),
    "cli/__main__.py": ("cli/test_start.py", "starts the command and does nothing else"),
    "cli/backtest.py": ("cli/test_champions.py", "the batch is there already, and has an edge"),
    "cli/dagster_dev.py": ("daemon/test_backfill.py", "a UI and a daemon are processes"),
    "cli/backup.py": ("defs/test_backup.py", "what comes back is seen of a data directory"),
    "cli/briefing.py": ("batch/test_certificate.py", "a briefing is written by a command"),
    "cli/dev.py": ("daemon/test_backfill.py", "a UI and a daemon are processes"),
    "cli/explain.py": ("cli/test_predict.py", "what is predicted is explained"),
    "cli/verify_batch.py": ("batch/test_certificate.py", "a batch is verified by a command"),
    "cli/why.py": ("watch/test_changes.py", "what changed is printed"),
    "cli/findings.py": ("report/test_pooled.py", "what is found stands on the page"),
    "cli/interrupts.py": ("cli/test_backfill.py", "Ctrl-C is pressed on a command"),
    "cli/launch.py": ("defs/test_models.py", "a launch is a run of the assets"),
    "cli/main.py": ("cli/test_start.py", "what a process loads, leaves and ends with"),
    "cli/monitor.py": ("cli/test_predict.py", "what is predicted is monitored"),
    "cli/plan.py": ("cli/test_backfill.py", "the plan is compared with what became of it"),
    "cli/progress.py": ("watch/test_progress.py", "the view is of what is counted there"),
    "cli/prune.py": ("defs/test_pruning.py", "what it removes is seen of a data directory"),
    "cli/replay.py": ("batch/test_replay.py", "what is replayed is printed"),
    "cli/stress.py": ("cli/test_champions.py", "there is a champion"),
    "cli/tune.py": ("batch/test_tuning.py", "a search is printed by the command that makes it"),
    "cli/tables.py": ("cli/test_backfill.py", "the summary is printed by a backfill"),
    "cli/telemetry.py": ("telemetry/questions/test_failures.py", "its commands print what telemetry is asked there"),
    "core/samples.py": ("core/test_features.py", "samples are features and labels side by side"),
    "definitions.py": ("daemon/test_backfill.py", "what Dagster loads, in one line"),
    "defs/backtest.py": ("defs/test_champions.py", "the batch is there already"),
    "defs/events.py": ("defs/test_models.py", "events are what a run has logged"),
    "defs/jobs.py": ("defs/test_schedules.py", "two jobs, run by schedules"),
    "defs/names.py": ("defs/test_runs.py", "names alone"),
    "defs/resources.py": ("defs/test_models.py", "resources are what the Launchpad changes"),
    "defs/stress.py": ("defs/test_champions.py", "the check is of the champion"),
    "defs/telling.py": ("defs/test_models.py", "what is told stands in the events of a run"),
    "defs/verdicts.py": ("defs/sensors/test_batch_failure_rate.py", "a sensor records what is asked"),
    "models/noise.py": ("batch/test_noise.py", "what is kept of a twin is seen of its training"),
    "models/sealed.py": ("models/test_store.py", "what is sealed is a model's record"),
    "report/charts.py": ("report/test_pooled.py", "months are drawn by it"),
    "report/comparison.py": ("report/test_report.py", "a report is one page"),
    "report/facts.py": ("report/test_report.py", "a report is one page"),
    "report/markdown.py": ("report/test_report.py", "a report is one page"),
    "report/page.py": ("report/test_report.py", "a report is one page"),
    "report/pictures.py": ("report/test_report.py", "a report is one page"),
    "service/given.py": ("service/test_app.py", "features are given with a question"),
    "service/metrics.py": ("service/test_app.py", "what is counted is answers"),
    "service/notebook.py": ("cli/test_serve.py", "a notebook is told what the service says"),
    "sources/changed.py": ("sources/test_actions.py", "bars are adjusted by actions"),
    "sources/vendors/asking.py": ("sources/vendors/test_fetching.py", "a server answers what is asked"),
    "sources/vendors/keeping.py": ("sources/vendors/test_fetching.py", "what is kept is what was fetched"),
    "sources/vendors/nse.py": ("sources/vendors/test_fetching.py", "a server answers as the exchange does"),
    "sources/vendors/yahoo.py": ("sources/vendors/test_fetching.py", "a server answers as Yahoo does"),
    "telemetry/questions/profiles.py": ("report/test_profile.py", "what is asked for is shown"),
    "storage/indexing.py": (
        "storage/test_sqlite.py",
        "what the index holds is compared with the stock class, row by row",
    ),
    "defs/sensors/new_predictions.py": ("defs/test_serving.py", "it asks for what is materialized there"),
}
"""Modules without a test module at the same place: where they are tested, and why there."""


def modules() -> set[str]:
    """Every module of the package with something in it, by its path in the package."""
    return {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}


def mirror(module: str) -> Path:
    """Where the tests of a module belong."""
    path = Path(module)
    return TESTS / path.parent / f"test_{path.name}"


def test_every_module_has_its_tests_at_the_same_place_or_a_reason() -> None:
    without = {module for module in modules() if not mirror(module).exists()}
    assert without - TESTED_ELSEWHERE.keys() == set(), "a module without tests"
    assert TESTED_ELSEWHERE.keys() - without == set(), "a reason that nobody needs"
    for place, why in TESTED_ELSEWHERE.values():
        assert (TESTS / place).exists(), place
        assert why


def test_sql_is_spelled_in_telemetry_alone() -> None:
    asking = re.compile(r"\.(query|rows|connect|execute)\(")
    outside = {name for name in modules() if not name.startswith(("telemetry/", "storage/"))}
    # The command that takes a person's own SQL.
    assert {name for name in outside if asking.search((PACKAGE / name).read_text())} == {"cli/telemetry.py"}


def test_where_models_and_telemetry_lie_is_said_in_the_settings_alone() -> None:
    spelled = re.compile(r"""/ ["'](models|telemetry)["']""")
    assert [name for name in sorted(modules()) if spelled.search((PACKAGE / name).read_text())] == []


def test_few_files_lie_at_the_top_of_the_package() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_the_readme_draws_every_room() -> None:
    layout = (PROJECT / "CONTRIBUTING.md").read_text().split("## The house")[1].split("```")[1]
    drawn = re.findall(r"^  (\w+)/ ", layout, re.MULTILINE)
    assert sorted(drawn) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    for file in PACKAGE.glob("[a-z]*.py"):
        assert file.name in layout


@pytest.mark.parametrize(
    ("stray", "named"),
    [
        (None, ""),
        ("stray.py", "sensequant_assets.stray"),
        ("core/stray.py", "core.stray"),
        ("attic/__init__.py", "attic"),
    ],
)
def test_a_new_file_without_a_room_breaks_a_contract(tmp_path: Path, stray: str | None, named: str) -> None:
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if stray is not None:
        path = tmp_path / PACKAGE.name / stray
        path.parent.mkdir(exist_ok=True)
        path.write_text('"""A module that nobody has drawn."""\n')
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == (0 if stray is None else 1), found.stdout + found.stderr
    assert named in found.stdout


def test_every_decision_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (DECISIONS / "README.md").read_text()))
    assert linked == {path.name for path in DECISIONS.glob("*.md")} - {"README.md"}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{path.relative_to(PACKAGE)} {node.name}": length
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (length := (node.end_lineno or 0) - node.lineno + 1) > 60
    }
    assert long == {}
