"""Claims about the sensor that watches bars, on a real instance, real bars and real runs."""

import os
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from sensequant_assets import settings as settings_module
from sensequant_assets.defs.names import BATCH_TAG, RANGE_END, RANGE_START
from sensequant_assets.defs.partitions import block_partitions, symbol_partitions, window_partitions
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.defs.sensors.desk import Desk
from sensequant_assets_tests.operating import (
    STUDENT,
    SYMBOLS,
    TEACHER,
    UNTIL,
    WINDOWS,
    Office,
    history,
    new_days,
    opened,
)
from sensequant_assets_tests.running import write_universe

OPEN = WINDOWS[1]


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-9])
    return path


def test_the_first_look_trains_what_was_never_trained_in_one_run(trained: Office) -> None:
    (run,) = trained.instance.get_runs()
    # The third window has no bars and is not asked for.
    assert trained.outcomes(run.tags[BATCH_TAG]) == {
        f"{symbol}|{window}": "trained" for symbol in SYMBOLS for window in WINDOWS[:2]
    }
    assert run.tags["sensequant/source"] == "sensor"
    assert trained.rows("SELECT source FROM batches") == [{"source": "sensor"}]


def test_bars_that_have_not_changed_ask_for_nothing(trained: Office) -> None:
    found = trained.tick("new_bars")
    assert not found.run_requests
    assert found.skip_message == "The bars are those that were taken last."


def test_new_days_of_three_symbols_retrain_their_open_windows_once_in_one_run(trained: Office) -> None:
    new_days(SYMBOLS[:3]).to_csv(trained.bars / "2009-11-23.csv", index=False)
    (request,) = trained.tick("new_bars").run_requests
    assert trained.outcomes(request.tags[BATCH_TAG]) == {f"{symbol}|{OPEN}": "trained" for symbol in SYMBOLS[:3]}
    assert trained.outcomes(request.tags[BATCH_TAG], "student").keys() == {f"{one}|{OPEN}" for one in SYMBOLS[:3]}
    assert not trained.tick("new_bars").run_requests


def test_the_same_days_in_another_file_ask_for_nothing(trained: Office) -> None:
    history("AAPL").query("date <= '2009-11-16'").tail(3).assign(symbol="AAPL").to_parquet(trained.bars / "n.parquet")
    found = trained.tick("new_bars")
    assert not found.run_requests
    assert found.skip_message == "The bars have changed, and every window is trained on what it needs of them."


def test_a_file_with_an_old_time_stamp_and_the_same_size_is_seen_by_its_content(trained: Office) -> None:
    file = trained.bars / "IBM.csv"
    stat, text = file.stat(), file.read_text()
    day = next(line for line in text.splitlines() if line.startswith("2009-08-03"))
    cells = day.split(",")
    cells[1] = cells[2]  # the day opens at its high
    changed = text.replace(day, ",".join(cells))
    file.write_text(changed)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (request,) = trained.tick("new_bars").run_requests
    assert set(trained.outcomes(request.tags[BATCH_TAG])) == {f"IBM|{OPEN}"}


def test_a_correction_taken_back_is_trained_again(trained: Office) -> None:
    file = trained.bars / "n.csv"
    runs = []
    for _ in range(2):
        new_days(["AAPL"]).to_csv(file, index=False)
        runs += trained.tick("new_bars").run_requests
        file.unlink()
        runs += trained.tick("new_bars").run_requests
    assert len({request.run_key for request in runs}) == 4
    assert {outcome for request in runs for outcome in trained.outcomes(request.tags[BATCH_TAG]).values()} == {
        "trained"
    }


def test_a_daemon_killed_after_the_look_asks_for_the_same_run_again(trained: Office) -> None:
    new_days(["AAPL"]).to_csv(trained.bars / "n.csv", index=False)
    first, second = trained.look("new_bars"), trained.look("new_bars")
    assert first.run_requests[0].run_key == second.run_requests[0].run_key
    assert first.cursor == second.cursor


def test_a_run_that_broke_off_is_asked_for_again_and_not_for_ever(trained: Office) -> None:
    new_days(["AAPL"]).to_csv(trained.bars / "n.csv", index=False)
    keys = []
    for _ in range(3):
        found = trained.look("new_bars")
        trained.cursors["new_bars"] = found.cursor
        (request,) = found.run_requests
        keys.append(request.run_key)
        # Its process dies before the first window.
        trained.instance.add_run(
            dg.DagsterRun(job_name="training", tags=request.tags, status=dg.DagsterRunStatus.FAILURE)
        )
    assert len(set(keys)) == 3
    with pytest.raises(Exception, match=r"Batch bars-\w+ broke off, as did the 2 before it"):
        trained.tick("new_bars")
    assert "broke off" in str(trained.tick("new_bars").skip_message)


def test_no_pair_is_asked_for_while_the_run_for_it_is_under_way(trained: Office) -> None:
    new_days(["AAPL"]).to_csv(trained.bars / "n.csv", index=False)
    found = trained.look("new_bars")
    trained.cursors["new_bars"] = found.cursor
    trained.instance.add_run(
        dg.DagsterRun(job_name="training", tags=found.run_requests[0].tags, status=dg.DagsterRunStatus.STARTED)
    )
    new_days(["AAPL"], 7).to_csv(trained.bars / "n.csv", index=False)
    waiting = trained.tick("new_bars")
    assert not waiting.run_requests
    assert "is under way" in str(waiting.skip_message)


def test_a_cut_file_fails_one_tick_that_names_it_and_the_others_are_taken(trained: Office) -> None:
    new_days(["AAPL", "IBM"]).to_csv(trained.bars / "good.csv", index=False)
    new_days(["MSFT"]).to_csv(trained.bars / "bad.csv", index=False)
    cut(trained.bars / "bad.csv")
    (request,) = trained.tick("new_bars").run_requests
    assert trained.outcomes(request.tags[BATCH_TAG]) == {f"AAPL|{OPEN}": "trained", f"IBM|{OPEN}": "trained"}
    with pytest.raises(Exception, match=r"Some bars were not taken, the others were: \S+bad\.csv cannot be read"):
        trained.tick("new_bars")
    for _ in range(2):
        found = trained.tick("new_bars")
        assert not found.run_requests
        assert f"Still not taken: {trained.bars / 'bad.csv'} cannot be read" in str(found.skip_message)
    new_days(["MSFT"]).to_csv(trained.bars / "bad.csv", index=False)
    (request,) = trained.tick("new_bars").run_requests
    assert trained.outcomes(request.tags[BATCH_TAG]) == {f"MSFT|{OPEN}": "trained"}


def test_the_same_cut_file_dropped_a_second_time_is_told_a_second_time(trained: Office) -> None:
    bad = trained.bars / "bad.csv"
    for _ in range(2):
        new_days(["MSFT"]).to_csv(bad, index=False)
        cut(bad)
        with pytest.raises(Exception, match=r"bad\.csv"):
            trained.tick("new_bars")
        trained.tick("new_bars")
        bad.unlink()
        trained.tick("new_bars")


def test_bars_that_contradict_each_other_cost_only_their_symbol(trained: Office) -> None:
    changed = history("GOOG").query("date == '2009-11-16'").assign(symbol="GOOG", volume=1)
    changed.to_csv(trained.bars / "wrong.csv", index=False)
    new_days(["IBM"]).to_csv(trained.bars / "good.csv", index=False)
    (request,) = trained.tick("new_bars").run_requests
    assert set(trained.outcomes(request.tags[BATCH_TAG])) == {f"IBM|{OPEN}"}
    with pytest.raises(Exception, match=r"wrong\.csv, row 2: GOOG: volume of 2009-11-16"):
        trained.tick("new_bars")


def test_a_window_that_cannot_be_trained_on_its_data_is_not_tried_again_for_other_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, monkeypatch, max_failure_rate=0.25) as office:
        flat = history("GOOG").query("date <= '2009-11-16'")
        flat.loc[flat["date"] >= "2009-01-01", ["open", "high", "low", "close", "adj_close"]] = 100.0
        flat.to_csv(office.bars / "GOOG.csv", index=False)
        (request,) = office.tick("new_bars").run_requests
        failed = {pair for pair, outcome in office.outcomes(request.tags[BATCH_TAG]).items() if outcome == "failed"}
        assert failed == {f"GOOG|{window}" for window in WINDOWS[:2]}
        new_days(["AAPL"]).to_csv(office.bars / "n.csv", index=False)
        (request,) = office.tick("new_bars").run_requests
        assert set(office.outcomes(request.tags[BATCH_TAG])) == {f"AAPL|{OPEN}"}


def test_a_symbol_that_the_universe_gains_gets_partitions_and_its_windows(trained: Office) -> None:
    history("FB").to_csv(trained.bars / "FB.csv", index=False)
    history("AAPL").query("date <= '2009-11-16'").to_csv(trained.bars / "ZZZ.csv", index=False)
    assert not trained.tick("new_bars").run_requests
    write_universe(trained.settings.universe, [*SYMBOLS, "ZZZ"])
    found = trained.tick("new_bars")
    assert [list(added.partition_keys) for added in found.dynamic_partitions_requests] == [["ZZZ"]]
    assert set(trained.outcomes(found.run_requests[0].tags[BATCH_TAG])) == {f"ZZZ|{window}" for window in WINDOWS[:2]}
    assert not trained.tick("new_bars").run_requests


def test_a_new_symbol_joins_the_last_block_before_its_pairs_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, monkeypatch, partition_by="block", block_size=3, end=WINDOWS[1]) as office:
        whole, grown = f"AAPL~IBM~3|{WINDOWS[0]}", f"MSFT~ZZZ~2|{WINDOWS[0]}"
        (request,) = office.look("new_bars").run_requests
        assert request.run_config["ops"]["models"]["config"]["pairs"] == []
        assert {request.tags[RANGE_START], request.tags[RANGE_END]} == {whole, f"MSFT~MSFT~1|{WINDOWS[0]}"}

        history("AAPL").query("date <= '2009-11-16'").to_csv(office.bars / "ZZZ.csv", index=False)
        write_universe(office.settings.universe, [*SYMBOLS, "ZZZ"])
        (request,) = office.look("new_bars").run_requests
        assert {request.tags[RANGE_START], request.tags[RANGE_END]} == {whole, grown}
        blocks = block_partitions(symbol_partitions("four")).name
        assert office.instance.get_dynamic_partitions(str(blocks)) == ["AAPL~IBM~3", "MSFT~ZZZ~2"]


def test_a_universe_that_breaks_a_rule_fails_one_tick(trained: Office) -> None:
    trained.settings.universe.write_text("symbol\nAAPL\nno symbol\n")
    with pytest.raises(Exception, match=r"four\.csv, row 3: 'no symbol' is not a symbol"):
        trained.tick("new_bars")
    assert "row 3" in str(trained.tick("new_bars").skip_message)


def test_a_universe_that_lost_models_fails_one_tick_and_is_taken_once_that_is_allowed(trained: Office) -> None:
    write_universe(trained.settings.universe, SYMBOLS[:3])
    with pytest.raises(Exception, match=r"has lost 1 of the 4 symbols of batch bars-\w+ \(MSFT; 1 has models\)"):
        trained.tick("new_bars")
    assert "SENSEQUANT_ALLOW_SHRINK=true" in str(trained.tick("new_bars").skip_message)
    trained.settings = trained.settings.model_copy(update={"allow_shrink": True})
    assert trained.tick("new_bars").skip_message == (
        "The bars have changed, and every window is trained on what it needs of them."
    )


def test_the_embedded_sample_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, monkeypatch, bars="sample") as office:
        assert "never changes" in str(office.tick("new_bars").skip_message)


def test_one_file_of_all_symbols_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "all.parquet"
    everything = [history(symbol).query("date <= '2009-11-16'").assign(symbol=symbol) for symbol in SYMBOLS]
    pd.concat(everything).to_parquet(file)
    with opened(tmp_path, monkeypatch, bars=str(file)) as office:
        office.tick("new_bars")
        pd.concat([*everything, new_days(["IBM"])]).to_parquet(file)
        (request,) = office.tick("new_bars").run_requests
        assert set(office.outcomes(request.tags[BATCH_TAG])) == {f"IBM|{OPEN}"}


def test_an_end_of_today_takes_each_day_in_turn_and_a_batch_keeps_the_one_it_began_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = [UNTIL]
    monkeypatch.setattr(settings_module, "today", lambda _zone=None: day[0])
    with opened(tmp_path, monkeypatch, end="today") as office:
        settings = office.settings
        (request,) = office.tick("new_bars").run_requests
        batch = request.tags[BATCH_TAG]
        assert office.outcomes(batch) == {
            f"{symbol}|{window}": "trained" for symbol in SYMBOLS for window in WINDOWS[:2]
        }
        assert not office.tick("new_bars").run_requests
        # The last bar is within the window from the day after it on; what is closed is reused.
        day[0] += timedelta(1)
        (request,) = office.tick("new_bars").run_requests
        assert office.outcomes(request.tags[BATCH_TAG]) == {f"{symbol}|{OPEN}": "trained" for symbol in SYMBOLS}
        day[0] += timedelta(1)
        assert not office.tick("new_bars").run_requests
        desk = Desk(settings, TEACHER, STUDENT, symbol_partitions("four"), window_partitions(settings.windows))
        kept = MarketResource(settings, settings.data_dir).of_batch(batch).settings
        assert (kept.end, settings.dated().end) == (UNTIL, UNTIL + timedelta(2))
        basis = desk.basis(batch)
        assert basis is not None
        assert basis.market == desk.retry_rule.market


def test_a_window_that_begins_after_the_location_was_loaded_is_told_and_the_others_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = [date(2009, 6, 30)]
    monkeypatch.setattr(settings_module, "today", lambda _zone=None: day[0])
    with opened(tmp_path, monkeypatch, end="today") as office:
        desk = Desk(
            office.settings, TEACHER, STUDENT, symbol_partitions("four"), window_partitions(office.settings.windows)
        )
        day[0] = UNTIL
        keys, begun = desk.begun([("AAPL", window) for window in WINDOWS[:2]])
        assert keys == [("AAPL", WINDOWS[0])]
        assert begun == [
            f"Window {OPEN} has begun since this code location was loaded. Reload it in the UI, or start it again."
        ]
