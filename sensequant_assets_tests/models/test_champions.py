"""Claims about the record of champions: it is always whole, and nothing that it names is ever lost."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import (
    Challenger,
    Champion,
    ChampionStore,
    ConditionRecord,
    Evidence,
    Forecasts,
    named_batches,
)
from sensequant_assets.models.pack import Served, write_pack
from sensequant_assets.settings import PROJECT
from sensequant_assets_tests.running import DEADLINE_S

NOW = datetime(2026, 1, 31, 18, 45, tzinfo=UTC)


def evidence(against: int | None = None) -> Evidence:
    condition = ConditionRecord(
        condition="rank_ic", wanted="rank IC surely above 0", passed=True, value=0.1, low=0.08, high=None,
        baseline=0.0, rows=3, dates=600, blocks=28,
    )  # fmt: skip
    return Evidence(
        first=date(2022, 6, 30), last=date(2025, 9, 9), rows=3, dates=600, blocks=28, block_length=21,
        windows=["2022-01-01", "2022-06-30"], trials=2, against=against, conditions=[condition],
        remarks=["1 student is not on disk."],
    )  # fmt: skip


def challenger(batch: str) -> Challenger:
    return Challenger(
        scope="pool", batch_id=batch, market={"horizon": 7, "timezone": None}, parameters={"teacher": {"seed": 7}},
        features="standard", fingerprints={"trees": batch}, promoted_at=NOW, by="somebody",
        serving={"2022-06-30": 2, "2022-01-01": 1}, missing={"NEW": "NEW has no bars."}, evidence=evidence(),
    )  # fmt: skip


def forecasts(seed: int = 1) -> Forecasts:
    rng = np.random.default_rng(seed)
    numbers = rng.random((5, 3))
    numbers[0, 1] = np.nan
    return Forecasts(
        np.array(["AAPL", "IBM", "M&M"]),
        np.array(["2022-01-01"] * 3),
        np.array(["2022-07-01", "2022-07-02", "2022-07-03"], dtype="datetime64[s]"),
        *numbers,
    )


@cache
def student() -> str:
    """LightGBM's text of a student."""
    import lightgbm as lgb

    rows = np.random.default_rng(1).random((60, 1))
    table = lgb.Dataset(rows, (rows[:, 0] > 0.5).astype(float), feature_name=["x"])
    made = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, table, num_boost_round=2)
    return made.model_to_string()


def packing(batch: str) -> Callable[[Path], str]:
    """What writes a pack whose only student is of a batch."""
    served = Served(
        symbol="IBM", window="2022-06-30", trees_fingerprint=batch, calibration=None, constant=False, fallback="",
        reference="", text=student(),
    )  # fmt: skip
    return partial(write_pack, served=[served], references={}, feature_names=["x"])


def promoted(store: ChampionStore, batch: str) -> Champion:
    current = store.current()
    return store.promote(challenger(batch), packing(batch), forecasts(), against=current.version if current else None)


def rolled_back(store: ChampionStore, to: int | None = None) -> Champion:
    current = store.current()
    return store.rollback(to, against=current.version if current else None, by="another", at=NOW)


@pytest.fixture
def store(tmp_path: Path) -> ChampionStore:
    return ChampionStore(tmp_path, "five")


def test_before_the_first_promotion_nothing_serves_and_nothing_is_written(store: ChampionStore) -> None:
    assert (store.current(), list(store.history())) == (None, [])
    assert not store.directory.exists()


def test_a_promotion_is_the_next_version_and_its_files_are_what_was_written(store: ChampionStore) -> None:
    first, second = promoted(store, "b1"), promoted(store, "b2")
    assert (first.version, first.supersedes, second.version, second.supersedes) == (1, None, 2, 1)
    assert list(store.history()) == [first, second]
    assert store.current() == second
    for champion, batch in ((first, "b1"), (second, "b2")):
        assert store.pack(champion).entry("IBM").trees_fingerprint == batch
    kept, told = forecasts(), store.forecasts(first)
    for name in Forecasts.__slots__:
        np.testing.assert_array_equal(getattr(told, name), getattr(kept, name))
        assert getattr(told, name).dtype.kind == getattr(kept, name).dtype.kind


def test_a_rollback_is_a_version_of_its_own_that_restores_an_earlier_one(store: ChampionStore) -> None:
    for batch in ("b1", "b2", "b3"):
        promoted(store, batch)
    before = list(store.history())
    back = rolled_back(store)
    assert (back.version, back.supersedes, back.restores, back.by) == (4, 3, 2, "another")
    assert back.model_copy(update={"version": 2, "supersedes": 1, "restores": None, "by": "somebody"}) == before[1]
    assert list(store.history()) == [*before, back]
    # One step further, and not to and fro.
    assert rolled_back(store).restores == 1
    with pytest.raises(UsageError, match="Version 1 is the first that served universe five"):
        rolled_back(store)
    assert (rolled_back(store, to=4).restores, len(store.history())) == (2, 6)
    assert promoted(store, "b4").supersedes == 6
    assert rolled_back(store).restores == 2


@pytest.mark.parametrize(
    ("to", "said"),
    [(0, "versions 1 to 2, and no version 0"), (3, "no version 3"), (2, "Version 2 serves already")],
)
def test_a_rollback_to_what_is_not_there_or_serves_is_refused(store: ChampionStore, to: int, said: str) -> None:
    for batch in ("b1", "b2"):
        promoted(store, batch)
    with pytest.raises(UsageError, match=said):
        rolled_back(store, to)
    assert len(store.history()) == 2


def test_a_rollback_before_the_first_promotion_says_what_is_first(store: ChampionStore) -> None:
    with pytest.raises(UsageError, match="Nothing serves universe five: `sensequant promote` is first"):
        rolled_back(store)


def test_what_was_decided_of_another_champion_changes_nothing(store: ChampionStore) -> None:
    promoted(store, "b1")
    for act in (
        lambda: store.promote(challenger("b2"), packing("b2"), forecasts(), against=None),
        lambda: store.rollback(1, against=2, by="somebody", at=NOW),
    ):
        with pytest.raises(UsageError, match="is served by version 1, and this was decided when"):
            act()
    assert len(store.history()) == 1
    assert {path.suffix for path in store.directory.iterdir()} == {".json", ".lock", ".pack", ".parquet"}
    assert len(list(store.directory.iterdir())) == 4


def test_a_record_that_cannot_be_read_is_an_error_and_never_no_champion(store: ChampionStore) -> None:
    promoted(store, "b1")
    whole = store.path.read_bytes()
    for broken in (b"", whole[:-1], whole.replace(b'"b1"', b'"b9"'), whole + b" ", b"{}"):
        store.path.write_bytes(broken)
        for act in (store.current, store.history, lambda: promoted(store, "b2"), lambda: rolled_back(store)):
            with pytest.raises(UsageError, match=r"champions.json is .* Nobody can tell what serves"):
                act()
        assert store.path.read_bytes() == broken
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        store.current()


def test_a_record_of_another_universe_is_not_taken_for_ones_own(store: ChampionStore, tmp_path: Path) -> None:
    promoted(store, "b1")
    other = ChampionStore(tmp_path, "six")
    other.directory.mkdir()
    other.path.write_bytes(store.path.read_bytes())
    with pytest.raises(UsageError, match="is the record of universe five"):
        other.current()


@pytest.mark.parametrize("file", ["pack", "forecasts"])
def test_a_version_whose_files_are_gone_or_changed_is_not_brought_back(store: ChampionStore, file: str) -> None:
    first = promoted(store, "b1")
    promoted(store, "b2")
    path = store.directory / getattr(first, file)
    for break_it in (lambda: path.write_bytes(b"else"), path.unlink):
        break_it()
        with pytest.raises(UsageError, match=r"Version 1 cannot serve: .*1-\w+"):
            rolled_back(store)
    assert len(store.history()) == 2


def test_a_history_that_begins_anew_takes_no_file_of_the_lost_one(store: ChampionStore) -> None:
    first = promoted(store, "b1")
    kept = store.path.read_bytes()
    store.path.unlink()
    promoted(store, "b2")
    store.path.write_bytes(kept)
    assert store.pack(first).entry("IBM").trees_fingerprint == "b1"
    store.forecasts(first)


def test_a_champion_says_what_serves_and_that_its_evidence_is_of_the_windows_before(store: ChampionStore) -> None:
    assert promoted(store, "b1").standing == (
        "It serves 3 symbols, 1 by that of window 2022-01-01, 2 by that of window 2022-06-30, each trained on all rows "
        "of its window that had a label when batch b1 ran. Its evidence is of students of windows 2022-01-01 to "
        "2022-06-30, each judged on the window after its own: 3 rows of 600 dates, 2022-06-30 to 2025-09-09."
    )


def test_batches_are_named_by_every_version_of_every_universe(store: ChampionStore, tmp_path: Path) -> None:
    assert named_batches(tmp_path) == set()
    for batch in ("b1", "b2"):
        promoted(store, batch)
    promoted(ChampionStore(tmp_path, "six"), "b3")
    assert named_batches(tmp_path) == {"b1", "b2", "b3"}
    store.path.write_bytes(b"")
    with pytest.raises(UsageError, match="Nobody can tell what serves"):
        named_batches(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from sensequant_assets_tests.models import test_champions
from sensequant_assets_tests.models.test_champions import ChampionStore, promoted, rolled_back

test_champions.student = lambda: sys.argv[2]


def killed_at(store, number, act):
    for batch in ("b1", "b2"):
        promoted(store, batch)
    child = os.fork()
    if not child:
        left = number

        def trace(event, arguments, kinds=("open", "os.rename", "os.remove", "os.mkdir", "fcntl.flock")):
            nonlocal left
            if event in kinds:
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        sys.addaudithook(trace)
        act(store)
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


for name, act in (("promote", lambda store: promoted(store, "b3")), ("rollback", rolled_back)):
    number = 0
    while killed_at(ChampionStore(Path(sys.argv[1], name, str(number)), "five"), number, act):
        number += 1
"""
"""Kills a process before each thing that it does to files, in a directory each, until one comes to its end."""


def test_a_kill_at_any_step_leaves_one_whole_record_with_all_that_it_names(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), student()],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=PROJECT,
    )
    assert finished.returncode == 0, finished.stderr
    for act, fewest in (("promote", 10), ("rollback", 5)):
        kills = sum(1 for _ in (tmp_path / act).iterdir()) - 1
        assert kills >= fewest
        versions = []
        for number in range(kills + 1):
            store = ChampionStore(tmp_path / act / str(number), "five")
            versions.append(len(store.history()))
            for champion in store.history():
                assert store.pack(champion).entry("IBM").trees_fingerprint == champion.batch_id
                store.forecasts(champion)
            # The lock of who was killed holds up nobody.
            assert promoted(store, "b4").version == versions[-1] + 1
        assert set(versions) == {2, 3}
        assert (versions[0], versions[-1]) == (2, 3)


RACE = """
import os, sys
from pathlib import Path
from sensequant_assets.errors import UsageError
from sensequant_assets_tests.models import test_champions
from sensequant_assets_tests.models.test_champions import ChampionStore, promoted, rolled_back

test_champions.student = lambda: sys.argv[3]
store, name, done = ChampionStore(Path(sys.argv[1]), "five"), sys.argv[2], 0
print("ready", flush=True)
sys.stdin.readline()
for number in range(12):
    try:
        if number % 3 == 2:
            rolled_back(store)
        else:
            promoted(store, f"{name}{number}")
        done += 1
    except UsageError as error:
        # The other was faster, or has gone back as far as one can.
        if "was decided when" not in str(error) and "the first that served" not in str(error):
            raise
print(done, flush=True)
# As `sensequant` ends: libraries that end threads at exit can abort it.
os._exit(0)
"""


def test_two_processes_at_once_make_one_history_without_a_gap(store: ChampionStore, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), name, student()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        for name in ("one", "two")
    ]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    seen = 0
    while any(process.poll() is None for process in both):
        # A reader needs no lock, and never sees less than before.
        now = len(store.history())
        assert now >= seen
        seen = now
    done = [int(process.communicate()[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert min(done) > 0
    history = store.history()
    assert len(history) == sum(done)
    for champion in history:
        assert store.pack(champion).entry("IBM").trees_fingerprint == champion.batch_id


def test_who_waits_for_the_lock_too_long_is_told(store: ChampionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    from sensequant_assets.errors import BusyError
    from sensequant_assets.models import champions

    promoted(store, "b1")
    monkeypatch.setattr(champions, "_PATIENCE_S", 0.05)
    with (store.directory / "champions.json.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="in the hands of another process"):
            promoted(store, "b2")
    assert promoted(store, "b2").version == 2
