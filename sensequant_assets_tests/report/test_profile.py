"""A profile as people are shown it: its numbers by hand, and its page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.report.page import write_profile
from sensequant_assets.report.profile import (
    Profile,
    cost_table,
    made_table,
    read_profile,
    seconds_chart,
    worth_chart,
    worth_table,
)
from sensequant_assets.telemetry.records import Measurement
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.report.test_report import EVIL, Page
from sensequant_assets_tests.telling import after, journal_of

NOW, BEFORE = "20250302-120000-aaaa", "20250301-120000-bbbb"
BAND = {"rank_ic_windows": 8, "rank_ic_windows_outside_band": 1, "rank_ic_band_windows": 250}


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def score(name: str, rank_ic: float | None, **fields: Any) -> dict[str, Any]:
    ends = {"rank_ic": rank_ic, "rank_ic_low": None, "rank_ic_high": None}
    if rank_ic is not None:
        ends |= {"rank_ic_low": rank_ic - 0.1, "rank_ic_high": rank_ic + 0.1}
    bare = {
        "auc": 0.5,
        "auc_low": None,
        "auc_high": None,
        "log_loss": 0.69,
        "log_loss_low": None,
        "log_loss_high": None,
    }
    return {"score": name, "rows": 200, "dates": 100, "blocks": 5, **ends, **bare, **fields}


def measured(setting: int, turn: int, seconds: float | None, **fields: Any) -> Measurement:
    judged = {
        "scores": [
            score("teacher", 0.02 * setting, **BAND),
            score("base_rate", 0.0),
        ],
        "rows": 200, "dates": 100, "blocks": 5, "block_length": 20, "first": "2024-01-01", "last": "2024-06-30",
        "windows": ["2023-07-01"], "remarks": [],
    }  # fmt: skip
    values: dict[str, Any] = {
        "profile": NOW, "universe": "five", "symbols": 2, "windows": 4, "sample_fingerprint": "s",
        "name": f"n={setting}",
        "parameters_fingerprint": f"p{setting}", "data_fingerprint": "d", "code_fingerprint": "c",
        "trees_fingerprint": f"t{setting}", "device": "cpu", "workers": 2, "models": 16, "failed": 0, "boosters": 16,
        "rows": 900, "wall_s": seconds, "cpu_s": 3.0, "cpu_by_model": {"teacher": 2.0, "student": 0.5},
        "read_mb": 200.0, "peak_mb": 230.0, "others_cpu": 0.0,
        "effective": {"teacher": {"num_leaves": [str(setting)], "seed": ["7"]}},
        "largest_leaves": 5, "largest_depth": 3,
        "scores": judged if turn == 1 else None, "measured_at": after(setting + 10 * turn),
    }  # fmt: skip
    return Measurement(setting=setting, turn=turn, **values | fields)


def read(store: TelemetryStore, *rows: Measurement, **how: Any) -> Profile:
    with journal_of(store, batch_id="", run_id="") as journal:
        journal.append_many(rows)
    found = read_profile(store, NOW, 4, **how)
    assert found is not None
    return found


def cells(found: Any, name: str) -> dict[str, str]:
    """The cells of a line by head."""
    line = next(line for line in found.lines if line.name == name)
    return dict(zip(found.heads[1:], line.cells, strict=True))


def test_seconds_are_the_median_of_the_runs_with_their_number_and_span(store: TelemetryStore) -> None:
    found = read(store, *(measured(1, turn, seconds) for turn, seconds in enumerate((3.0, 2.0, 9.0), 1)))
    told = cells(cost_table(found), "n=1")
    assert (told["n"], told["seconds"], told["rows/s"]) == ("3", "3.00 [2.00, 9.00]", "300")
    assert (told["CPU s"], told["teachers"], told["students"]) == ("3.00", "2.00", "0.50")
    assert (told["peak MB"], told["grew MB"]) == ("230", "30.0")
    assert (told["busy"], told["joules"], told["earlier"]) == ("-", "-", "-")
    assert "No device tells how busy it was or its energy: teachers were trained on cpu." in cost_table(found).notes
    assert found.head.endswith("3 of 4 runs measured.")


def test_the_same_setting_of_an_earlier_profile_stands_beside_it_with_what_has_changed_since(
    store: TelemetryStore,
) -> None:
    past = [measured(1, turn, 2.0, profile=BEFORE, code_fingerprint="older") for turn in (1, 2)]
    others = [
        measured(2, 1, 8.0, profile=BEFORE, sample_fingerprint="of other symbols"),
        measured(3, 1, 1.0, profile="20250303-120000-cccc"),
        measured(1, 1, 64.0, profile="20250228-120000-cccc"),
    ]
    found = read(store, measured(1, 1, 3.0), measured(2, 1, 4.0), measured(3, 1, 4.0), *past, *others)
    told = cost_table(found)
    assert cells(told, "n=1")["earlier"] == "1.50 x 2.00 (n 2, 2025-03-01, other code)"
    assert [cells(told, name)["earlier"] for name in ("n=2", "n=3")] == ["-", "-"]
    named = read(store, against="20250228-120000-cccc")
    assert cells(cost_table(named), "n=1")["earlier"] == "0.05 x 64.00 (n 1, 2025-02-28)"


def test_what_devices_tell_is_shown_and_that_trainings_held_one(store: TelemetryStore) -> None:
    of_device = {"device": "gpu 0:0", "device_s": 1.5, "device_utilisation": 0.4, "joules": 120.0}
    told = cost_table(read(store, measured(1, 1, 2.0), measured(2, 1, 3.0, **of_device)))
    assert [cells(told, "n=2")[head] for head in ("device", "held", "busy", "joules")] == [
        "gpu 0:0",
        "50%",
        "40%",
        "120",
    ]
    assert [cells(told, "n=1")[head] for head in ("device", "held", "busy", "joules")] == ["cpu", "-", "-", "-"]
    assert not any("No device tells" in note for note in told.notes)


def test_other_processes_that_were_busy_meanwhile_are_told(store: TelemetryStore) -> None:
    found = read(store, measured(1, 1, 2.0, others_cpu=0.05), measured(1, 2, 2.0, others_cpu=1.5))
    assert any("kept up to 1.5 processors busy meanwhile" in note for note in cost_table(found).notes)


def test_parameters_that_differ_are_shown_as_the_boosters_have_them_beside_the_largest_tree(
    store: TelemetryStore,
) -> None:
    broken = {"teacher": {"num_leaves": ["2", "3"], "seed": ["7"]}}
    told = made_table(read(store, measured(1, 1, 2.0), measured(2, 1, 2.0, effective=broken)))
    assert cells(told, "n=1") == {
        "models": "16", "failed": "0", "boosters": "16", "teacher num_leaves": "1",
        "largest teacher tree": "5 leaves, depth 3",
    }  # fmt: skip
    assert cells(told, "n=2")["teacher num_leaves"] == "2 and 3"


def test_a_setting_that_grows_the_trees_of_another_is_named(store: TelemetryStore) -> None:
    told = made_table(
        read(store, measured(1, 1, 2.0), measured(2, 1, 3.0), measured(3, 1, 3.0, trees_fingerprint="t2"))
    )
    assert [note for note in told.notes if "has the trees of" in note] == [
        "n=3 has the trees of n=2: what it changes does nothing here, and a difference of its seconds is chance."
    ]


def test_what_it_is_worth_stands_beside_baselines_intervals_and_noise(store: TelemetryStore) -> None:
    told = worth_table(read(store, measured(1, 1, 2.0), measured(2, 1, 2.0)))
    assert [(line.name, line.cells[0]) for line in told.lines] == [
        ("teacher", "n=1"),
        ("teacher", "n=2"),
        ("base_rate", "-"),
    ]
    assert cells(told, "teacher")["rank IC"] == "+0.020 [-0.080, +0.120]"
    assert cells(told, "teacher")["outside noise"] == "1 of 8"
    notes = " ".join(told.notes)
    assert "100 dates, 2024-01-01 to 2024-06-30, 5 blocks of 20 dates; brackets hold the 95% interval." in notes
    assert "100 dates, fewer than 500" in notes
    assert "250 windows of the noise twin, trained by n=1" in notes
    assert "The best of 2 settings is partly the luckiest." in notes


def test_a_setting_that_broke_off_says_why_and_has_no_seconds(store: TelemetryStore) -> None:
    why = {"failure": "Its process ended by signal 9.", "scores": None, "effective": None, "cpu_by_model": None}
    found = read(store, measured(1, 1, 2.0), measured(2, 1, None, **why, peak_mb=None, rows=None, models=None))
    assert cells(cost_table(found), "n=2")["seconds"] == "-"
    assert "n=2: Its process ended by signal 9." in made_table(found).notes
    assert [each.name for each in found.broke_off] == ["n=2"]


def test_pictures_reach_from_the_fastest_to_the_slowest_and_over_intervals(store: TelemetryStore) -> None:
    found = read(store, measured(1, 1, 2.0), measured(1, 2, 4.0), measured(2, 1, 8.0))
    seconds = seconds_chart(found)
    assert seconds is not None
    first, second = seconds.bars
    assert (seconds.zero, second.top, second.height) == (160, 8, 152)
    assert (first.height, first.low, first.high) == (57, 122, 84)
    assert seconds.ticks[1][1] == "2"
    worth = worth_chart(found, "teacher")
    assert worth is not None
    assert worth.bars[1].title == "n=2: +0.040 [-0.060, +0.140] of 100 dates"
    assert worth_chart(found, "student") is None


def test_of_too_few_symbols_for_a_rank_ic_the_auc_is_drawn(store: TelemetryStore) -> None:
    judged = {"scores": [score("teacher", None, auc=0.56, auc_low=0.46, auc_high=0.6)]}
    drawn = worth_chart(read(store, measured(1, 1, 2.0, scores=judged)), "teacher")
    assert drawn is not None
    assert drawn.title.startswith("AUC less one half of teachers by setting: n=1: 0.560 [0.460, 0.600] of 100 dates")
    assert drawn.reach == pytest.approx(0.1)
    assert drawn.bars[0].low == pytest.approx(84 + 0.4 * 76)


def test_the_page_shows_a_setting_as_text_and_draws_it(store: TelemetryStore, tmp_path: Path) -> None:
    found = read(store, measured(1, 1, 2.0, name=EVIL), measured(2, 1, 3.0))
    page = Page(write_profile(found, tmp_path / "page.html").read_text())
    assert page.text.count(EVIL) >= 4
    assert {"script", "link", "img"}.isdisjoint(page.tags)
    assert page.pointers == []
    assert page.tags.count("svg") == 2


def test_of_a_profile_without_a_run_there_is_nothing_to_show(store: TelemetryStore) -> None:
    assert read_profile(store, NOW, 4) is None
    assert replace(read(store, measured(1, 1, 2.0)), asked=9).head.endswith("1 of 9 runs measured.")
