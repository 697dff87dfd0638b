"""The floor, the platform and one subprocess a window, in one run: wall, CPU, memory and their ratios.

    python bench/bench_nse.py [--market DIRECTORY] [--repeat N] [--no-ui]

DIRECTORY holds `nifty100_universe.csv` and `nse_daily_adjusted.parquet`; without it the embedded sample is timed.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.instance import InstanceRef
from ui_backfill import inherited_environment, ui_backfill

HERE = Path(__file__).resolve().parent
NSE = {"SENSEQUANT_START": "2022-01-01", "SENSEQUANT_END": "2025-12-10"}
SUBPROCESS_SAMPLE = 12


@dataclass
class Spent:
    """What one process and its children used."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    windows: int = 0


def spend(command: list[str], variables: dict[str, str]) -> Spent:
    """Run a command and read the operating system's account of it."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        child = os.posix_spawn(
            command[0],
            command,
            {**inherited_environment(), **variables},
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)],
        )
        _, status, usage = os.wait4(child, 0)
        wall = time.perf_counter() - started
        if status:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read().decode()}")
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Time the ways in turn, so that a drift of the machine's speed meets all of them."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--market", type=Path, default=HERE.parent.parent / "shared" / "market")
    arguments.add_argument("--repeat", type=int, default=1)
    arguments.add_argument("--no-ui", action="store_true", help="Leave out the backfill from the UI.")
    given = arguments.parse_args()
    universe, bars = given.market / "nifty100_universe.csv", given.market / "nse_daily_adjusted.parquet"
    variables = {"SENSEQUANT_UNIVERSE": str(universe), "SENSEQUANT_BARS": str(bars), **NSE} if bars.exists() else {}
    sensequant = str(Path(sys.executable).with_name("sensequant"))
    dagster = str(Path(sys.executable).with_name("dagster"))
    from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
    from sensequant_assets.market.market import Market
    from sensequant_assets.settings import read_settings, read_student, read_teacher

    # The ways below are of models of a symbol's own rows, but for the pooled ones.
    variables["TEACHER_SCOPE"] = "symbol"
    os.environ.update(variables)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    market = Market.open(read_settings(), read_teacher(), read_student())
    pairs = [market.pair(*key) for key in market.keys()]  # noqa: SIM118  # a method of the market, not a mapping
    eligible = [pair for pair in pairs if pair.eligible]
    pools = Market.open(read_settings(), read_teacher({"scope": "pool"}), read_student({"scope": "pool"}))
    in_pools = sum(pools.pair(*key).eligible for key in pools.keys())  # noqa: SIM118  # as above
    print(f"universe {market.universe.name}: {len(pairs)} pairs, {len(eligible)} eligible, {os.cpu_count()} cores")

    found: dict[str, list[Spent]] = {}
    clicked = []
    for _ in range(given.repeat):
        with tempfile.TemporaryDirectory() as scratch:
            data = {**variables, "SENSEQUANT_DATA_DIR": f"{scratch}/data"}
            bare = spend([sys.executable, str(HERE / "bare_loop.py"), f"{scratch}/bare"], data)
            first = spend([sensequant, "backfill", "--json"], data)
            # A few seconds: the middle one of three.
            again = sorted((spend([sensequant, "backfill", "--json"], data) for _ in range(3)), key=_wall)[1]
            pooled = {**data, "TEACHER_SCOPE": "pool", "SENSEQUANT_DATA_DIR": f"{scratch}/pooled"}
            bare_pool = spend([sys.executable, str(HERE / "bare_pool.py"), f"{scratch}/bare_pool"], pooled)
            of_pools = spend([sensequant, "backfill", "--json"], pooled)
            pools_again = spend([sensequant, "backfill", "--json"], pooled)
            step = max(1, len(eligible) // SUBPROCESS_SAMPLE)
            ones = [
                spend(
                    [sys.executable, str(HERE / "bare_loop.py"), f"{scratch}/one", pair.symbol, pair.window.key], data
                )
                for pair in eligible[::step]
            ]
            alone = [
                spend(
                    [sensequant, "backfill", "--symbols", pair.symbol, "--windows", pair.window.key],
                    {**data, "SENSEQUANT_DATA_DIR": f"{scratch}/alone"},
                )
                for pair in eligible[:: step * 4]
            ]
            # A home without a `dagster.yaml`: Dagster's own storage.
            stock = {**data, "SENSEQUANT_DATA_DIR": f"{scratch}/stock", "DAGSTER_HOME": f"{scratch}/stock/dagster"}
            Path(stock["DAGSTER_HOME"]).mkdir(parents=True)
            with DagsterInstance.from_ref(InstanceRef.from_dir(stock["DAGSTER_HOME"])) as instance:
                add_symbols(instance, symbol_partitions(market.universe.name), market.universe.symbols)
            materialize = [dagster, "asset", "materialize", "-m", "sensequant_assets.definitions"]
            runs = [
                spend([*materialize, "--select", "teacher_models,student_models", "--partition", pair.key], stock)
                for pair in eligible[:: step * 4]
            ]
            if not given.no_ui:
                clicked.append(ui_backfill(Path(scratch, "ui")))
        for name, spent, windows in (
            ("bare loop", bare, len(eligible)),
            ("sensequant backfill", first, len(eligible)),
            ("second backfill, all reused", again, len(eligible)),
            ("bare loop, pooled", bare_pool, in_pools),
            ("sensequant backfill, pooled", of_pools, in_pools),
            ("second, pooled, all reused", pools_again, in_pools),
            ("bare subprocess a window", _sum(ones), len(ones)),
            ("sensequant process a window", _sum(alone), len(alone)),
            ("dagster process a window", _sum(runs), len(runs)),
        ):
            spent.windows = windows
            found.setdefault(name, []).append(spent)

    print(
        f"{'way':28} {'windows':>8} {'wall s':>8} {'CPU s':>8} {'windows/s':>10} {'CPU ms/window':>14} {'peak MB':>8}"
    )
    for name, several in found.items():
        wall, cpu = (statistics.median(getattr(spent, what) for spent in several) for what in ("wall_s", "cpu_s"))
        windows = several[0].windows
        print(
            f"{name:28} {windows:8} {wall:8.1f} {cpu:8.1f} {windows / wall:10.1f} {1000 * cpu / windows:14.1f} "
            f"{max(spent.peak_mb for spent in several):8.0f}"
        )
    for ui in clicked:
        bare_s = statistics.median(spent.wall_s for spent in found["bare loop"])
        print(
            f"UI backfill: {ui.wall_s:.1f} s from the request to the end of the last of {ui.runs} runs, of which "
            f"{ui.tick_s:.1f} s wait for the daemon's look: {ui.wall_s / bare_s:.2f} times the bare loop"
        )
    print(
        json.dumps(
            {
                "ratio_wall": _ratio(found, "sensequant backfill", "bare loop", "wall_s"),
                "ratio_cpu": _ratio(found, "sensequant backfill", "bare loop", "cpu_s"),
                "ratio_reused_wall": _ratio(found, "second backfill, all reused", "bare loop", "wall_s"),
                "ratio_reused_cpu": _ratio(found, "second backfill, all reused", "bare loop", "cpu_s"),
                "ratio_pooled_wall": _ratio(found, "sensequant backfill, pooled", "bare loop, pooled", "wall_s"),
                "ratio_pooled_cpu": _ratio(found, "sensequant backfill, pooled", "bare loop, pooled", "cpu_s"),
                "ratio_pooled_reused_cpu": _ratio(found, "second, pooled, all reused", "bare loop, pooled", "cpu_s"),
                "ratio_pooled_to_symbol_cpu": _ratio(
                    found, "sensequant backfill, pooled", "sensequant backfill", "cpu_s"
                ),
                **{
                    f"ratio_{way}_process_{what}": _ratio(
                        found,
                        f"{way} {'subprocess' if way == 'bare' else 'process'} a window",
                        "sensequant backfill",
                        f"{what}_s",
                    )
                    for way in ("bare", "sensequant", "dagster")
                    for what in ("wall", "cpu")
                },
            }
        )
    )


def _wall(spent: Spent) -> float:
    return spent.wall_s


def _sum(several: list[Spent]) -> Spent:
    return Spent(
        sum(spent.wall_s for spent in several),
        sum(spent.cpu_s for spent in several),
        max(spent.peak_mb for spent in several),
    )


def _ratio(found: dict[str, list[Spent]], of: str, to: str, what: str) -> float:
    """Median of the ratios per window, run by run."""
    ratios = [
        float((getattr(a, what) / a.windows) / (getattr(b, what) / b.windows))
        for a, b in zip(found[of], found[to], strict=True)
    ]
    return round(statistics.median(ratios), 3)


if __name__ == "__main__":
    main()
