"""Claims about the definitions of a market put together, as Dagster's code server loads them."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sensequant_assets.core.parameters import Scope, StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.settings import PROJECT, read_settings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import leave
from sensequant_assets_tests.telling import W1, window, write_run


@pytest.mark.parametrize("scope", ["pool", "symbol"])
def test_the_code_server_can_load_every_job_and_asset(
    scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path)
    definitions = build_definitions(read_settings(), TeacherParameters(scope=scope), StudentParameters(scope=scope))

    dg.Definitions.validate_loadable(definitions)
    repository = definitions.get_repository_def()

    # Names of ops must not meet, which Dagster finds out when all jobs are asked for.
    assert {"market", "training", "evaluation"} <= {job.name for job in repository.get_all_jobs()}
    assert dg.AssetKey("teacher_models") in repository.asset_graph.get_all_asset_keys()


@pytest.mark.parametrize("scope", ["pool", "symbol"])
def test_teachers_hang_on_pools_where_these_teach(
    scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path)
    definitions = build_definitions(read_settings(), TeacherParameters(scope=scope), StudentParameters(scope=scope))

    upstream = definitions.resolve_asset_graph().get(dg.AssetKey("teacher_models")).parent_keys

    assert (dg.AssetKey("pooled_teachers") in upstream) == (scope == "pool")


def test_the_check_of_the_documentation_is_one_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path)
    page = (PROJECT / "docs" / "extending.md").read_text().split("## A check")[1]
    mine: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], mine)  # noqa: S102  # our own page
    dg.Definitions.validate_loadable(mine["defs"])
    assert {"not_slow", "max_failure_rate"} <= {key.name for key in mine["defs"].resolve_asset_graph().asset_check_keys}

    telemetry = TelemetryStore(read_settings().telemetry_dir)
    write_run(telemetry, [window("S1", W1, "trained", 1)])
    assert mine["not_slow"]().passed
    write_run(telemetry, [window("S1", W1, "trained", 70, duration_s=61.0)], batch="later", starts=200, ends=300)
    assert mine["not_slow"]().metadata["slow"].value == 1
