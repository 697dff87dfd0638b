"""Cost of 5-minute windows beside daily ones, in one run: CPU a window and a thousand training rows.

    python bench/bench_intraday.py [--market DIRECTORY] [--rounds N]

DIRECTORY holds the NSE files. Each market is trained through the command line into a directory of its own; the CPU of
windows is the sum that telemetry holds, that of the process includes its start and everything it records.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench_nse import HERE, spend

UNIVERSES = HERE.parent / "data" / "universes"
SENSEQUANT = str(Path(sys.executable).with_name("sensequant"))
DAILY_SYMBOLS = 20
COST = """
    SELECT model, count(*) AS windows, sum(train_rows)::BIGINT AS train_rows,
           sum(train_rows + valid_rows + test_rows)::BIGINT AS rows,
           sum(cpu_s) AS cpu_s
    FROM window_runs WHERE outcome = 'trained' GROUP BY model ORDER BY model DESC
"""


def markets(directory: Path) -> dict[str, dict[str, str]]:
    """Settings of each market by what it is."""
    five_minutes = {
        "SENSEQUANT_TIMEZONE": "Asia/Kolkata",
        "SENSEQUANT_WINDOW_DAYS": "10",
        "SENSEQUANT_HORIZON": "6",
        "SENSEQUANT_THRESHOLD": "0.002",
    }
    return {
        "daily, 180 days": {
            "SENSEQUANT_UNIVERSE": str(directory / "nifty100_universe.csv"),
            "SENSEQUANT_BARS": str(directory / "nse_daily_adjusted.parquet"),
            "SENSEQUANT_START": "2022-01-01",
            "SENSEQUANT_END": "2025-12-10",
        },
        "5 minutes, 10 days, 2024": five_minutes
        | {
            "SENSEQUANT_UNIVERSE": str(UNIVERSES / "nse_intraday_10.csv"),
            "SENSEQUANT_BARS": str(directory / "nse_5min_2024_03.parquet"),
            "SENSEQUANT_START": "2024-03-20",
            "SENSEQUANT_END": "2024-04-20",
        },
        "5 minutes, 10 days, 2026": five_minutes
        | {
            "SENSEQUANT_UNIVERSE": str(UNIVERSES / "nse_intraday_47.csv"),
            "SENSEQUANT_BARS": str(directory / "nse_5min_2026_05.parquet"),
            "SENSEQUANT_START": "2026-05-20",
            "SENSEQUANT_END": "2026-06-20",
        },
    }


def main() -> None:
    """Train each market and print what its windows cost."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--market", type=Path, default=HERE.parent.parent / "shared" / "market")
    arguments.add_argument("--rounds", type=int, default=500, help="boosting rounds of the teachers")
    given = arguments.parse_args()
    if not given.market.is_dir():
        sys.exit(f"There are no NSE files in {given.market}; name their directory with --market.")
    from sensequant_assets.telemetry.store import TelemetryStore

    print(
        f"{'market':26} {'model':8} {'windows':>8} {'train rows':>11} {'rows a window':>14} {'CPU s':>7} "
        f"{'CPU ms a window':>16} {'CPU ms per 1,000 training rows':>31}"
    )
    for name, variables in markets(given.market).items():
        with tempfile.TemporaryDirectory() as scratch:
            command = [SENSEQUANT, "backfill", "--json"]
            if name.startswith("daily"):
                symbols = Path(variables["SENSEQUANT_UNIVERSE"]).read_text().split("\n")[1 : DAILY_SYMBOLS + 1]
                command += ["--symbols", ",".join(line.split(",")[0] for line in symbols)]
            spent = spend(
                command, {**variables, "SENSEQUANT_DATA_DIR": scratch, "TEACHER_N_ESTIMATORS": str(given.rounds)}
            )
            found = TelemetryStore(Path(scratch, "telemetry")).query(COST).to_pylist()
        for row in found:
            _print(name, row["model"], row["windows"], row["train_rows"], row["rows"], row["cpu_s"])
        teachers = found[0]
        _print(name, "process", teachers["windows"], teachers["train_rows"], teachers["rows"], spent.cpu_s)


def _print(name: str, model: str, windows: int, train_rows: int, rows: int, cpu_s: float) -> None:
    print(
        f"{name:26} {model:8} {windows:8} {train_rows:11,} {rows / windows:14.0f} {cpu_s:7.1f} "
        f"{1000 * cpu_s / windows:16.1f} {1e6 * cpu_s / train_rows:31.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
