"""Claims about the definitions of a market put together, as Dagster's code server loads them."""

from pathlib import Path

import dagster as dg
import pytest

from sensequant_assets.core.parameters import Scope, StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.settings import read_settings
from sensequant_assets_tests.running import leave


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
