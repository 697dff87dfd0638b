"""The notebooks of docs/ are run from top to bottom, each cell as a kernel would run it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from sensequant_assets.settings import PROJECT
from sensequant_assets_tests.running import leave

NOTEBOOKS = PROJECT / "docs" / "notebooks"


def cells(notebook: Path) -> list[str]:
    """Its cells of code, in order."""
    found = json.loads(notebook.read_text())["cells"]
    assert all(not cell["outputs"] for cell in found if cell["cell_type"] == "code"), "its outputs are not cleared"
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def run_cell(text: str, names: dict[str, object]) -> object:
    """Run a cell in the names of those before it and give what its last line shows; one for the shell must succeed."""
    if text.startswith("!"):
        subprocess.run(text[1:], shell=True, check=True, capture_output=True, timeout=300)  # noqa: S602  # the notebook's own
        return None
    *before, last = ast.parse(text).body
    shown = last.value if isinstance(last, ast.Expr) else None
    done = before if shown else [*before, last]
    exec(compile(ast.Module(done, []), "cell", "exec"), names)  # noqa: S102  # the notebook's own
    return eval(compile(ast.Expression(shown), "cell", "eval"), names) if shown else None  # noqa: S307


def test_the_notebooks_lead_from_a_first_batch_to_a_prediction_and_into_telemetry(tmp_path: Path, monkeypatch) -> None:
    leave(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("TEACHER_SCOPE", "pool")
    monkeypatch.setenv("TEACHER_N_ESTIMATORS", "10")

    names: dict[str, object] = {}
    for text in cells(NOTEBOOKS / "first_batch.ipynb"):
        predictions = run_cell(text, names)
    assert list(predictions["symbol"]) == ["AAPL", "FB"]  # type: ignore[index]
    assert names["student"].num_trees() > 0  # type: ignore[attr-defined]

    names = {}
    shown = [run_cell(text, names) for text in cells(NOTEBOOKS / "telemetry.ipynb")]
    tables = [table for table in shown if table is not None]
    assert len(tables) == 6
    assert [len(table) for table in tables if not len(table)] == []  # type: ignore[arg-type]


def test_every_notebook_is_run() -> None:
    assert {path.name for path in NOTEBOOKS.glob("*")} == {"first_batch.ipynb", "telemetry.ipynb"}
