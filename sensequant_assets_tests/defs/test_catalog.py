"""Claims about what the catalog shows of every asset."""

from pathlib import Path

import dagster as dg
import pytest

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.catalog import COLUMN_SCHEMA
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.market import symbol_events
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.operating import STUDENT, TEACHER, office_settings
from sensequant_assets_tests.running import leave


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dg.AssetSpec]:
    leave(monkeypatch, tmp_path)
    monkeypatch.setenv("SENSEQUANT_OWNERS", "team:quant desk, desk@example.org, team:quant desk")
    universe = tmp_path / f"large caps, {'x' * 80}.csv"
    definitions = build_definitions(
        read_settings({"universe": universe}), TeacherParameters(), StudentParameters(scope="pool")
    )
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_every_asset_says_who_owns_it_of_which_market_it_is_and_where_to_read_on(
    specs: dict[str, dg.AssetSpec], tmp_path: Path
) -> None:
    assert len(specs) == 13
    for spec in specs.values():
        assert list(spec.owners) == ["team:quant desk", "desk@example.org"]
        # A tag's value has no spaces, and no more characters.
        assert spec.tags["universe"] == f"large_caps__{'x' * 80}"[:63]
        assert spec.tags["scope"] == "pool"
        assert spec.metadata["universe"] == f"large caps, {'x' * 80}"
        assert spec.metadata["reports"] == dg.MetadataValue.path(tmp_path / "data" / "reports")
        assert Path(spec.metadata["docs"].value).is_file()


def test_the_page_of_a_grid_leads_to_the_check_of_what_its_colours_cannot_say(
    specs: dict[str, dg.AssetSpec],
) -> None:
    for asset in ("teacher_models", "student_models"):
        described = str(specs[asset].description)
        assert f"(/assets/{asset}?view=checks&checkDetail=max_failure_rate)" in described
        assert "reloaded" not in described


def test_a_grid_whose_windows_end_today_says_that_a_new_one_needs_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path)
    definitions = build_definitions(read_settings({"end": "today"}), TEACHER, STUDENT)
    described = {spec.key.to_user_string(): spec.description for spec in definitions.resolve_all_asset_specs()}
    assert "has no partitions before this code location is reloaded" in str(described["teacher_models"])


def test_nobody_owns_assets_unless_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, tmp_path)
    definitions = build_definitions(read_settings(), TEACHER, STUDENT)
    assert {tuple(spec.owners) for spec in definitions.resolve_all_asset_specs()} == {()}


@pytest.mark.parametrize("asset", ["predictions", "outcomes"])
def test_columns_of_what_telemetry_keeps_are_those_of_its_table(
    specs: dict[str, dg.AssetSpec], asset: str, tmp_path: Path
) -> None:
    telemetry = TelemetryStore(tmp_path / "telemetry")
    telemetry.ingest(wait_s=5)
    described = telemetry.query(f"DESCRIBE {asset}").to_pylist()
    kept = {row["column_name"]: (row["column_type"], row["null"] == "YES") for row in described}
    shown = {
        column.name: (column.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"), column.constraints.nullable)
        for column in specs[asset].metadata[COLUMN_SCHEMA].columns
    }
    assert shown
    assert {name: kept.get(name) for name in shown} == shown


def test_columns_of_bars_and_features_are_those_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    leave(monkeypatch, tmp_path)
    settings = read_settings(office_settings(tmp_path))
    shown = {
        spec.key.to_user_string(): spec.metadata.get(COLUMN_SCHEMA)
        for spec in build_definitions(settings, TEACHER, STUDENT).resolve_all_asset_specs()
    }
    market = Market.open(settings, TEACHER, STUDENT)
    for event in symbol_events(market, "IBM", tmp_path, ("bars", "features")):
        asset = event.asset_key.to_user_string()
        told = event.metadata.get(COLUMN_SCHEMA)
        schema = told.value if told else shown[asset]
        on_disk = pq.read_schema(tmp_path / asset / "four" / "IBM.parquet")
        assert [(column.name, column.type) for column in schema.columns] == [
            # Parquet has no times of seconds.
            (field.name, str(field.type).replace("[ms]", "[s]"))
            for field in on_disk
        ]
