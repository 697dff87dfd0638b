"""The journal keeps what it said it wrote, whole and readable."""

import json
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from sensequant_assets.errors import FailureKind
from sensequant_assets.telemetry.journal import Journal, writer_is_gone
from sensequant_assets.telemetry.records import BatchStart, Event, RunEnd
from sensequant_assets.telemetry.store import TelemetryStore

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def journal(directory: Path, batch_id: str = "b", run_id: str = "r") -> Journal:
    return Journal(directory, batch_id=batch_id, run_id=run_id, clock=lambda: NOON)


def lines(directory: Path) -> list[dict[str, object]]:
    """Lines of all shards, without the times that order them."""
    found = [json.loads(line) for shard in sorted(directory.iterdir()) for line in shard.read_bytes().splitlines()]
    return [{name: value for name, value in line.items() if name != "ordered_at"} for line in found]


def test_every_record_whose_append_returned_survives_kill_9(tmp_path: Path) -> None:
    script = """
import itertools, sys
from datetime import UTC, datetime
from pathlib import Path
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.records import Event
journal = Journal(Path(sys.argv[1]), batch_id="b", run_id="r", clock=lambda: datetime.now(UTC))
for number in itertools.count():
    journal.append(Event(message=str(number)))
    print(number, flush=True)
"""
    store = TelemetryStore(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(store.shards)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(200)]
        child.kill()
        # The last line may be cut: the kill can fall between the record and the word of it.
        told += child.stdout.read().split("\n")[:-1]
    store.ingest()
    kept = {row["message"] for row in store.query("SELECT message FROM events").to_pylist()}
    assert {line.strip() for line in told} <= kept
    assert store.query("SELECT status FROM runs").to_pylist() == [{"status": "interrupted"}]


def test_nothing_is_created_before_the_first_record(tmp_path: Path) -> None:
    with journal(tmp_path / "shards"):
        pass
    assert not (tmp_path / "shards").exists()


def test_values_take_their_plain_form(tmp_path: Path) -> None:
    with journal(tmp_path) as open_journal:
        open_journal.append(
            Event(
                window_start=date(2024, 6, 19),
                kind=FailureKind.TIMEOUT,
                data={
                    "at": NOON,
                    "auc": np.float32(0.5),
                    "rows": np.int64(107),
                    "nan": float("nan"),
                    "inf": [np.float64("inf"), 1.5],
                    "nothing": pd.NaT,
                    "flags": np.array([True, False]),
                    date(2024, 1, 1): "text\nof two lines",  # type: ignore[dict-item]  # keys are made text
                    "path": Path("broken\udcff.csv"),
                    "kept": MappingProxyType({"set": {2, 1}}),
                },
            )
        )
    assert lines(tmp_path)[0] == {
        "record": "event",
        "batch_id": "b",
        "run_id": "r",
        "at": "2025-03-01T12:00:00+00:00",
        "level": "info",
        "window_start": "2024-06-19",
        "kind": "timeout",
        "data": {
            "at": "2025-03-01T12:00:00+00:00",
            "auc": 0.5,
            "rows": 107,
            "nan": None,
            "inf": [None, 1.5],
            "nothing": None,
            "flags": [True, False],
            "2024-01-01": "text\nof two lines",
            "path": "broken?.csv",
            "kept": {"set": [1, 2]},
        },
    }


def test_a_value_without_a_json_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="record of kind event cannot be written: a Thread"):
        journal(tmp_path).append(Event(data={"worker": threading.Thread()}))


def test_what_a_record_does_not_tell_is_left_out(tmp_path: Path) -> None:
    with journal(tmp_path) as open_journal:
        open_journal.append_many([BatchStart(), RunEnd(status="succeeded", wall_s=0.0)])
    envelope = {"batch_id": "b", "run_id": "r", "at": "2025-03-01T12:00:00+00:00"}
    assert lines(tmp_path) == [
        {"record": "batch", **envelope},
        {"record": "end", **envelope, "status": "succeeded", "wall_s": 0.0},
        {"record": "closed"},
    ]


def test_threads_share_a_journal_without_mixing_lines(tmp_path: Path) -> None:
    with journal(tmp_path) as open_journal:

        def write(name: str) -> None:
            for number in range(200):
                open_journal.append(Event(kind=name, message="x" * number))

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [(line["kind"], len(str(line["message"]))) for line in lines(tmp_path) if line["record"] == "event"]
    assert sorted(found) == [(name, number) for name in "abcd" for number in range(200)]


def test_a_line_that_the_disk_cut_short_spoils_no_other(tmp_path: Path) -> None:
    script = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from sensequant_assets.telemetry.journal import Journal
from sensequant_assets.telemetry.records import Event
journal = Journal(Path(sys.argv[1]), batch_id="b", run_id="r", clock=lambda: datetime.now(UTC))
journal.append(Event(message="before"))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
try:
    journal.append(Event(message="lost"))
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.append(Event(message="after"))
journal.close()
"""
    store = TelemetryStore(tmp_path)
    child = subprocess.run(
        [sys.executable, "-c", script, str(store.shards)], capture_output=True, text=True, check=True
    )
    assert child.stdout == "refused\n"
    assert store.ingest().broken_lines == 1
    told = store.query("SELECT message FROM events WHERE level = 'info' ORDER BY shard_offset").to_pylist()
    assert told == [{"message": "before"}, {"message": "after"}]


def test_a_name_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    with journal(tmp_path / "shards", batch_id="../../a|b", run_id="/etc/passwd") as open_journal:
        open_journal.append(Event())
    assert [path.parent for path in tmp_path.rglob("*.jsonl")] == [tmp_path / "shards"]


def test_a_shard_is_alive_until_it_is_closed(tmp_path: Path) -> None:
    open_journal = journal(tmp_path)
    open_journal.append(Event())
    (shard,) = tmp_path.iterdir()
    assert not writer_is_gone(shard)
    open_journal.close()
    assert writer_is_gone(shard)


def test_a_record_after_the_close_opens_another_shard(tmp_path: Path) -> None:
    open_journal = journal(tmp_path)
    for _ in range(2):
        open_journal.append(Event())
        open_journal.close()
        open_journal.close()
    assert len(list(tmp_path.iterdir())) == 2
