"""Claims about the assets after the champion, materialized on a real instance."""

import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest

from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.prediction import MEANING, Flag
from sensequant_assets.batch.serving import served_by_subject
from sensequant_assets.core.judging.monitoring import FEWEST_DATES
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.pack import write_pack
from sensequant_assets.models.store import ModelStore
from sensequant_assets.telemetry.questions.batches import batch_ids
from sensequant_assets_tests.models.test_champions import challenger, forecasts
from sensequant_assets_tests.operating import SYMBOLS, UNTIL, Office, new_days

DAY = UNTIL.isoformat()


def crown(office: Office) -> None:
    """Let the students of the latest batch serve, whatever they are worth."""
    subject = Subject.of_batch(office.telemetry, batch_ids(office.telemetry)[0])
    market = Market.open(subject.settings, subject.teacher, subject.student)
    serving = served_by_subject(subject, market, ModelStore(office.settings.models_dir, "four"))
    told = {
        "market": subject.settings.market,
        "parameters": {"teacher": subject.teacher.model_dump(), "student": subject.student.model_dump()},
        "scope": "symbol",
    }
    write = partial(
        write_pack, served=serving.served, references=serving.references, feature_names=serving.feature_names
    )
    store = ChampionStore(office.settings.data_dir / "champions", "four")
    serves = store.current()
    store.promote(
        challenger(subject.batch_id).model_copy(update=told), write, forecasts(),
        against=serves.version if serves else None,
    )  # fmt: skip


@pytest.fixture
def crowned(trained: Office) -> Office:
    crown(trained)
    return trained


def materialize(office: Office, *assets: str, partition: str | None = None) -> dg.ExecuteInProcessResult:
    job = office.definitions.resolve_job_def("prediction")
    return job.execute_in_process(
        instance=office.instance, asset_selection=[dg.AssetKey(each) for each in assets], partition_key=partition,
        raise_on_error=False,
    )  # fmt: skip


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("predicting" if asset == "predictions" else asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_without_a_champion_nothing_is_predicted_and_the_way_out_is_said(trained: Office) -> None:
    result = materialize(trained, "predictions", partition=DAY)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "Universe four has no champion: `sensequant promote` makes one" in str(failure.step_failure_data.error)
    assert trained.look("new_predictions").skip_message.startswith("Universe four has no champion")


def test_the_champion_predicts_each_symbol_once(crowned: Office) -> None:
    found = metadata(materialize(crowned, "predictions", partition=DAY), "predictions")
    assert (found["predictions"], found["new"], found["bars_of"]) == (4, 4, DAY)
    rows = crowned.rows("FROM predictions ORDER BY symbol")
    assert [row["symbol"] for row in rows] == list(SYMBOLS)
    assert {(row["model"], row["champion"]) for row in rows} == {("champion", 1)}
    assert metadata(materialize(crowned, "predictions", partition=DAY), "predictions")["new"] == 0
    assert crowned.rows("FROM predictions ORDER BY symbol") == rows


def test_a_prediction_leads_to_its_model_and_its_bars_and_says_why_it_may_be_wrong(crowned: Office) -> None:
    known = set(map(str, crowned.instance.get_materialized_partitions(dg.AssetKey("student_models"))))
    links = metadata(materialize(crowned, "predictions", partition=DAY), "predictions")["leads_to"]
    lines = dict(zip(SYMBOLS, links.splitlines()[2:], strict=True))
    for symbol, line in lines.items():
        found = re.findall(r"\((/assets/[^)]*)\)", line)
        (model, of), (bars, whose) = ((url.path, parse_qs(url.query)["partition"]) for url in map(urlsplit, found))
        assert (model, bars, whose) == ("/assets/student_models", "/assets/bars", [symbol])
        assert of[0].startswith(f"{symbol}|")
        assert of[0] in known
        (row,) = crowned.rows("FROM predictions WHERE symbol = ?", symbol)
        for flag in row["flags"].split(", "):
            assert MEANING[Flag(flag)] in line


def test_monitoring_fills_outcomes_and_its_checks_do_not_pass_before_they_can_tell(crowned: Office) -> None:
    materialize(crowned, "predictions", partition="2009-09-01")
    outcomes = metadata(materialize(crowned, "outcomes"), "outcomes")
    assert (outcomes["new"], outcomes["waiting"]) == (4, 0)
    result = materialize(crowned, "monitoring")
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert set(checks) == {"drift", "calibrated", "degraded"}
    assert not checks["degraded"].passed
    assert checks["degraded"].severity is dg.AssetCheckSeverity.WARN
    assert f"1 dates have outcomes, {FEWEST_DATES} are needed" in str(checks["degraded"].description)


def test_new_bars_are_predicted_once_and_another_champion_predicts_again(crowned: Office, tmp_path: Path) -> None:
    def tick() -> Any:
        found = crowned.look("new_predictions")
        crowned.cursors["new_predictions"] = found.cursor or crowned.cursors.get("new_predictions")
        return found

    (request,) = tick().run_requests
    assert request.partition_key == DAY
    assert tick().skip_message == "The champion has predicted from these bars."
    new_days(SYMBOLS).to_csv(crowned.bars / "more.csv", index=False)
    (request,) = tick().run_requests
    assert request.partition_key == "2009-11-23"
    crown(crowned)
    (again,) = tick().run_requests
    assert again.run_key != request.run_key
