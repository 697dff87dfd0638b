"""Growth: cost, memory and disk a window as the universe grows, and what telemetry costs at 76,800 windows.

    python bench/bench_scale.py [--sizes 96,960,9600] [--layout directory] [--scope symbol] [--keep DIR] [--rounds N]
        [--telemetry-only]

Bars are random walks from a fixed seed, in one parquet file a symbol, or in one of all symbols (`--layout`), which is
read whole: 9,600 symbols need the directory. On two idle cores 768 windows take 15 s, and 76,800 half an hour.
Boosters have few rounds unless told otherwise, so that what is seen to grow is the orchestration, and a teacher has its
symbol's rows, so that the work of a window is the same in every lattice: a pool has the rows of all symbols. Everything
is written to a temporary directory, unless one is named to keep it in.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_nse import Spent, spend

from sensequant_assets.telemetry.records import BatchStart, Plan, RunEnd, WindowRun

WINDOWS, WINDOW_DAYS = 8, 180
START = datetime(2020, 1, 1, tzinfo=UTC).date()
END = START + timedelta(days=WINDOWS * WINDOW_DAYS)
LARGE = 9600
MOST_GROWTH, MOST_MB = 1.1, 800
"""What is asked for: CPU a window of a size over that of the size before, and peak memory."""

COUNTS = "SELECT model, outcome, count(*) FROM window_runs GROUP BY ALL"
SENSEQUANT = str(Path(sys.executable).with_name("sensequant"))


def write_market(directory: Path, symbols: int, layout: str) -> dict[str, str]:
    """Write a universe and its bars, and give the settings that name them."""
    names = [f"S{number:05d}" for number in range(symbols)]
    universe = directory / f"walk{symbols}.csv"
    universe.write_text("symbol\n" + "\n".join(names) + "\n")
    days = np.arange(np.datetime64(START, "D") - 120, np.datetime64(END, "D"))
    days = days[np.is_busday(days)]
    dates = pa.array(days)
    bars = directory / ("bars.parquet" if layout == "file" else "bars")
    rng = np.random.default_rng(7)

    def table(name: str) -> pa.Table:
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.02, len(days)))), 2)
        opened = np.concatenate([close[:1], close[:-1]])
        columns = {
            "symbol": pa.array(np.full(len(days), name)),
            "date": dates,
            "open": opened,
            "high": np.round(np.maximum(opened, close) * 1.01, 2),
            "low": np.round(np.minimum(opened, close) * 0.99, 2),
            "close": close,
            "volume": rng.integers(10_000, 900_000, len(days)),
        }
        return pa.table(columns)

    if layout == "file":
        with pq.ParquetWriter(bars, table(names[0]).schema) as writer:
            # A hundred symbols a row group, as a file of all symbols that is written at once has many.
            for first in range(0, symbols, 100):
                writer.write_table(pa.concat_tables([table(name) for name in names[first : first + 100]]))
    else:
        bars.mkdir()
        for name in names:
            pq.write_table(table(name), bars / f"{name}.parquet")
    return {
        "SENSEQUANT_UNIVERSE": str(universe),
        "SENSEQUANT_BARS": str(bars),
        "SENSEQUANT_START": str(START),
        "SENSEQUANT_END": str(END),
        "SENSEQUANT_WINDOW_DAYS": str(WINDOW_DAYS),
    }


def disk(directory: Path) -> dict[str, int]:
    """Bytes by first directory below, models apart from their records."""
    found: dict[str, int] = {}
    for path in directory.rglob("*"):
        if path.is_file():
            kind = path.relative_to(directory).parts[0]
            if kind == "models":
                kind = "model records" if path.suffix == ".json" else "model texts"
            found[kind] = found.get(kind, 0) + path.stat().st_size
    return found


@contextmanager
def room(keep: Path | None, symbols: int) -> Iterator[Path]:
    """An empty directory for a lattice: one that stays, or one that goes."""
    if keep is not None:
        (keep / str(symbols)).mkdir(parents=True)
        yield keep / str(symbols)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def growth(sizes: list[int], rounds: int, layout: str, workers: int, scope: str, keep: Path | None) -> None:
    """Train each size through the command line, and print what it cost."""
    lines: list[str] = []
    found: dict[str, dict[int, Spent]] = {}
    for symbols in sizes:
        with room(keep, symbols) as scratch:
            variables = write_market(scratch, symbols, layout) | {
                "SENSEQUANT_DATA_DIR": f"{scratch}/data",
                "SENSEQUANT_WORKERS": str(workers),
                "TEACHER_SCOPE": scope,
                "TEACHER_N_ESTIMATORS": str(rounds),
                "STUDENT_N_ESTIMATORS": str(rounds),
            }
            windows = symbols * WINDOWS
            for name, command in (
                ("plan", ["plan", "--json"]),
                ("backfill", ["backfill", "--json"]),
                ("all reused", ["backfill", "--json"]),
                ("query of counts", ["query", COUNTS]),
            ):
                spent = spend([SENSEQUANT, *command], variables)
                print(_line(f"{symbols} x {WINDOWS}", name, windows, spent), flush=True)
                found.setdefault(name, {})[windows] = spent
                if name == "backfill":
                    sizes_of = disk(scratch / "data")
                    kinds = ", ".join(f"{kind} {size / windows / 1024:.1f}" for kind, size in sorted(sizes_of.items()))
                    lines.append(f"{symbols} x {WINDOWS}: disk KiB a window: {kinds}")
    print("\n".join([*lines, *map(_grown, found, found.values())]))


def _grown(name: str, spent: dict[int, Spent]) -> str:
    """How a command's CPU a window grows from size to size, and its largest peak, beside what is asked for."""
    pairs = [
        f"{few:,} to {many:,} windows {spent[many].cpu_s / many / (spent[few].cpu_s / few):.2f}"
        for few, many in pairwise(sorted(spent))
    ]
    peak = max(one.peak_mb for one in spent.values())
    return (
        f"{name}: CPU a window grows (asked for: {MOST_GROWTH}): {', '.join(pairs) or 'one size alone'}; "
        f"peak {peak:.0f} MB (asked for: {MOST_MB})"
    )


def _line(lattice: str, name: str, windows: int, spent: Spent) -> str:
    return (
        f"{lattice:>10} {name:16} {windows:8} {spent.wall_s:8.1f} {spent.cpu_s:8.1f} "
        f"{1000 * spent.wall_s / windows:15.2f} {1000 * spent.cpu_s / windows:14.2f} {spent.peak_mb:8.0f}"
    )


def telemetry(symbols: int) -> None:
    """Write the journal of a batch of teachers and students with no training, and time what is asked of it."""
    from sensequant_assets.telemetry.journal import Journal
    from sensequant_assets.telemetry.questions.windows import latest_teacher_batch, outcomes
    from sensequant_assets.telemetry.store import TelemetryStore

    windows = [(START + timedelta(days=WINDOW_DAYS * number)) for number in range(WINDOWS)]
    keys = [(f"S{number:05d}", str(window)) for number in range(symbols) for window in windows]
    print(f"\ntelemetry of {len(keys):,} windows x 2 models")

    def timed(name: str, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{name:44} {wall:8.2f} s wall {cpu:8.2f} s CPU   {'' if found is None else found}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        store = TelemetryStore(Path(scratch))

        def count(sql: str) -> int:
            return store.query(sql).num_rows

        def write(batch: str) -> None:
            journal = Journal(store.shards, batch_id=batch, run_id="run", clock=lambda: datetime.now(UTC))
            journal.append(BatchStart(universe="walk", source="cli", started_at=datetime.now(UTC)))
            for model in ("teacher", "student"):
                journal.append(Plan(model=model, windows=keys))
            for model in ("teacher", "student"):
                for number, (symbol, window) in enumerate(keys):
                    journal.append(_row(model, symbol, window, number))
            journal.append(RunEnd(status="succeeded", ended_at=datetime.now(UTC)))
            journal.close()

        timed("journal: write", lambda: write("first"))
        size = sum(path.stat().st_size for path in store.shards.iterdir())
        print(f"{'journal: bytes a row':44} {size / len(keys) / 2:8.0f}")
        timed("ingest", lambda: store.ingest())
        print(f"{'database: bytes a row':44} {store.database.stat().st_size / len(keys) / 2:8.0f}")
        write("second")
        timed("ingest of a second batch beside it", lambda: store.ingest())
        for name, sql in (
            ("query: outcomes by model", COUNTS),
            ("query: progress of a batch", "SELECT * FROM batch_summary WHERE batch_id = 'second'"),
            ("query: latest failures", "SELECT * FROM window_status WHERE outcome = 'failed' AND batch_id = 'second'"),
            (
                "query: median of a metric by window",
                "SELECT window_start, median((metrics->>'test_auc')::DOUBLE) FROM window_runs GROUP BY 1",
            ),
        ):
            timed(name, partial(count, sql))
        timed("outcomes of a batch's teachers", lambda: len(outcomes(store, "second", "teacher")))
        timed("teachers' batch of all pairs", lambda: latest_teacher_batch(store, keys))


def _row(model: str, symbol: str, window: str, number: int) -> WindowRun:
    now, day = datetime.now(UTC), date.fromisoformat(window)
    failed = number % 97 == 0
    metrics = {f"{span}_{name}": 0.5123456789 for span in ("valid", "test", "oof") for name in ("auc", "brier", "ece")}
    return WindowRun(
        model=model, universe="walk", symbol=symbol, window_start=day, window_end=day, effective_start=day,
        effective_end=day, outcome="failed" if failed else "trained", failure_kind="corrupt_bars" if failed else None,
        started_at=now, ended_at=now, duration_s=0.03, cpu_s=0.03, train_rows=90, valid_rows=22, test_rows=117,
        metrics=metrics, parameters={f"parameter_{i}": str(i) for i in range(60)},
        data_fingerprint="0123456789abcdef" * 2, parameters_fingerprint="0123456789abcdef" * 2,
        code_fingerprint="0123456789abcdef" * 2, trees_fingerprint=f"{number:032x}", device="cpu", early_life=False,
        open=False, model_path=f"data/models/walk/{model}/{symbol}/{window}.txt.gz",
    )  # fmt: skip


def main() -> None:
    """Print growth and telemetry."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", default=f"96,960,{LARGE}", help="symbols, separated by commas")
    arguments.add_argument("--rounds", type=int, default=20, help="boosting rounds of teachers and students")
    arguments.add_argument("--layout", choices=["file", "directory"], default="directory", help="how the bars lie")
    arguments.add_argument("--scope", choices=["symbol", "pool"], default="symbol", help="whose rows teach")
    arguments.add_argument("--keep", type=Path, help="directory in which bars, models and all else stay")
    arguments.add_argument("--workers", type=int, default=0, help="windows at once; 0 is the number of cores")
    arguments.add_argument("--telemetry-only", action="store_true", help="only telemetry, of --telemetry-symbols")
    arguments.add_argument("--telemetry-symbols", type=int, default=LARGE)
    given = arguments.parse_args()
    if not given.telemetry_only:
        print(
            f"{'lattice':>10} {'what':16} {'windows':>8} {'wall s':>8} {'CPU s':>8} "
            f"{'wall ms/window':>15} {'CPU ms/window':>14} {'peak MB':>8}"
        )
        sizes = [int(size) for size in given.sizes.split(",")]
        growth(sizes, given.rounds, given.layout, given.workers, given.scope, given.keep)
    telemetry(given.telemetry_symbols)


if __name__ == "__main__":
    main()
