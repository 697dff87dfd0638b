"""What renames explain in real data, and whether a market as of an earlier day is that of a file that ends there.

    python bench/bench_as_of.py [--market DIRECTORY] [--day 2022-06-30]

DIRECTORY holds `nse_daily_unadjusted.parquet`, which has each bar under the symbol of its day, `nse_listings.csv`,
whose symbols are those of today, and `nse_symbolchange.csv`.
"""

import argparse
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.universe import Universe
from sensequant_assets.market.market import Market
from sensequant_assets.settings import read_market
from sensequant_assets.sources.renames import read_renames
from sensequant_assets.sources.universes import read_universe

HERE = Path(__file__).resolve().parent
SPAN: Mapping[str, Any] = {"start": "2020-01-01", "end": "2026-08-01"}


def opened(**settings: Any) -> Market:
    """The market of these settings, pooled."""
    return Market.open(read_market({**SPAN, **settings}), TeacherParameters(), StudentParameters())


def written(universe: Universe, path: Path) -> Path:
    """A file of a universe."""
    rows = [f"{one.symbol},{one.listing_date or ''}" for one in universe.listings]
    path.write_text("\n".join(["symbol,listing_date", *rows]) + "\n")
    return path


def main() -> None:
    """Print which first bars come late, with the file of renames and without, and what differs as of a day."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--market", type=Path, default=HERE.parent.parent / "shared" / "market")
    arguments.add_argument("--day", type=date.fromisoformat, default=date(2022, 6, 30))
    given = arguments.parse_args()
    bars, changes = given.market / "nse_daily_unadjusted.parquet", given.market / "nse_symbolchange.csv"
    renames, table = read_renames(changes), pq.read_table(bars)
    there = {str(symbol) for symbol in table["symbol"].unique().to_pylist()}
    with TemporaryDirectory() as directory:
        listed = read_universe(given.market / "nse_listings.csv")
        rows = tuple(one for one in listed.listings if one.symbol in there)
        today = written(Universe("u", rows), Path(directory, "u.csv"))
        for title, more in (("without", {}), ("with", {"symbol_changes": str(changes)})):
            found = opened(universe=today, bars=str(bars), **more).findings
            late = [one for one in found if one.rule == "listing" and "first bar" in one.message]
            sessions = [one.rows for one in late]
            said = f"{len(late)} of {len(rows)} symbols come late, {min(sessions)} to {max(sessions)} sessions"
            print(f"{title} the file of renames, first bars of {said}: {', '.join(one.symbol for one in late)}")
        now = opened(universe=today, bars=str(bars), symbol_changes=str(changes), as_of=given.day)
        cut, known = Path(directory, "cut.parquet"), Path(directory, "known.csv")
        pq.write_table(table.filter(pc.less_equal(table["date"].cast(pa.date32()), given.day)), cut)
        kept = renames.as_of(given.day)
        known.write_text("old,new,date\n" + "".join(f"{one.old},{one.new},{one.day}\n" for one in kept))
        universe = written(now.universe, Path(directory, "then.csv"))
        then = opened(universe=universe, bars=str(cut), symbol_changes=str(known))
        compare(then, now)


def compare(then: Market, now: Market) -> None:
    """Print what differs between two markets."""
    pools = [now.pools[window].fingerprint == pool.fingerprint for window, pool in then.pools.items()]
    pairs = [
        now.lesson(mine).data == then.lesson(theirs).data
        for symbol in then.universe.symbols
        for theirs, mine in zip(then.plan(symbol).pairs, now.plan(symbol).pairs, strict=True)
        if theirs.trainable and mine.trainable
    ]
    planned = [then.plan(symbol).pairs == now.plan(symbol).pairs for symbol in then.universe.symbols]
    print(
        f"as of {now.universe.as_of}: {len(now.universe.symbols)} symbols, {len(now.universe.later)} absent; "
        f"{np.sum(planned)} of {len(planned)} plans, {np.sum(pools)} of {len(pools)} pools and {np.sum(pairs)} of "
        f"{len(pairs)} pairs have the fingerprints of a file that ends there"
    )


if __name__ == "__main__":
    main()
