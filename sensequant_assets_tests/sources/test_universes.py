"""Claims about universes that somebody's hand, editor or disk has spoilt: each is taken whole or refused by name."""

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from sensequant_assets.core.universe import Listing, Universe, is_symbol
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.universes import read_universe
from sensequant_assets_tests.running import as_nobody, within

WHOLE = """\
symbol,name,listing_date,trading_start_date,vendor_code
AAPL,Apple Inc.,1980-12-12,,
FB,"Facebook, Inc.",2012-05-18,2012-05-18,FB.US
GOOG,Google,2004-08-19,,
M&M,Mahindra & Mahindra,,,M&M.NS
BRK.B,Berkshire,1996-05-09,,
"""

CELLS = [
    "", " ", "symbol", "AAPL", "aapl", "..", "../x", "a/b", "|", "...", "A...B", "NA", "nan", "0", "1e308",
    "9999-12-31", "0001-01-01", "2022-02-30", "20220101", "2022-01-01T00:00", "\x1b[2J", "\u202e",
    "\N{FULLWIDTH LATIN CAPITAL LETTER A}", "\0", '"', '""', "'", ",", ";", "\t", "\r", "\n", "=1+1", "[/]", "x" * 40,
    "x" * 200_000, "-" * 10_000,
]  # fmt: skip

Change = Callable[[random.Random, Path], None]


def bytes_changed(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.randrange(1, 6)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)


def bytes_lost(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    path.write_bytes(content[:first] + content[last:])


def cell_changed(rng: random.Random, path: Path) -> None:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    line = rng.choice(lines)
    line[rng.randrange(len(line))] = rng.choice(CELLS)
    path.write_text("\n".join(map(",".join, lines)) + rng.choice(["\n", ""]))


def lines_changed(rng: random.Random, path: Path) -> None:
    lines = path.read_text().splitlines()
    line = rng.choice(lines)
    change = rng.choice([lines.remove, lines.append, lambda line: lines.insert(0, line), lambda _: rng.shuffle(lines)])
    change(line)
    path.write_text("\n".join(lines))


def written_otherwise(rng: random.Random, path: Path) -> None:
    text = path.read_text()
    changed = rng.choice([text.replace("\n", "\r\n"), text.replace("\n", "\r"), text.replace(",", ";"), text * 40, ""])
    path.write_bytes(changed.encode(rng.choice(["utf-8-sig", "utf-16", "utf-32", "cp1252"])))


def no_file(rng: random.Random, path: Path) -> None:
    path.unlink()
    what = rng.choice(["directory", "pipe", "loop", "dangling", "nothing", "device"])
    if what == "directory":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what in ("loop", "dangling"):
        path.symlink_to(path if what == "loop" else path.with_name("gone"))
    elif what == "device":
        path.symlink_to("/dev/zero")


CHANGES: list[Change] = [
    bytes_changed,
    bytes_lost,
    cell_changed,
    cell_changed,
    lines_changed,
    written_otherwise,
    no_file,
]


def universe_or_refusal(path: Path) -> Universe | str:
    try:
        return read_universe(path)
    except UsageError as error:
        return str(error)


def assert_whole(universe: Universe, path: Path) -> None:
    assert universe.name == path.stem
    assert universe.symbols
    assert list(universe.symbols) == sorted(set(universe.symbols))
    assert all(is_symbol(symbol) for symbol in universe.symbols)


def test_three_hundred_spoilt_universes_are_taken_whole_or_refused_by_name(tmp_path: Path) -> None:
    rng = random.Random(20262)  # noqa: S311  # nothing secret
    became: Counter[str] = Counter()
    for number in range(300):
        path = tmp_path / f"spoilt{number}.csv"
        path.write_text(WHOLE)
        change = rng.choice(CHANGES)
        change(rng, path)
        if rng.random() < 0.3 and path.is_file() and path.stat().st_size:
            bytes_changed(rng, path)
        with within(10):
            found = universe_or_refusal(path)
        if isinstance(found, Universe):
            became["taken"] += 1
            assert_whole(found, path)
        else:
            became["refused"] += 1
            assert path.name in found, (number, change)
            assert found.isprintable()
            assert len(found) < 700
    assert min(became["taken"], became["refused"]) > 40, became


def test_a_path_without_permission_or_too_long_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    closed, long = tmp_path / "closed" / "u.csv", tmp_path / ("x" * 5000)
    closed.write_text(WHOLE)
    closed.chmod(0)
    with as_nobody():
        said = {path: universe_or_refusal(path) for path in (closed, long)}
    for path, refusal in said.items():
        assert str(path) in str(refusal)
        assert str(refusal).endswith("Give one with --universe or SENSEQUANT_UNIVERSE.")


def test_the_exchanges_own_list_of_companies_is_a_universe(tmp_path: Path) -> None:
    head = "SYMBOL,NAME OF COMPANY, SERIES, DATE OF LISTING, PAID UP VALUE, MARKET LOT, ISIN NUMBER, FACE VALUE"
    (tmp_path / "EQUITY_L.csv").write_text(f"{head}\nLICI,LIC of India,EQ,17-MAY-2022,10,1,INE0J1Y01017,10\n")
    universe = read_universe(tmp_path / "EQUITY_L.csv")
    assert universe.listings == (Listing("LICI", "LIC of India", date(2022, 5, 17)),)
    assert universe.unused == ("series", "paid up value", "market lot", "isin number", "face value")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_universe_may_be_written_as_spreadsheets_write_it(tmp_path: Path, encoding: str, delimiter: str) -> None:
    (tmp_path / "u.csv").write_bytes("symbol,name\r\nTCS,Tata\r\n".replace(",", delimiter).encode(encoding))
    assert read_universe(tmp_path / "u.csv").listings == (Listing("TCS", "Tata"),)


@pytest.mark.parametrize(
    "text",
    [
        '{"LICI": {"ipo_date": "2022-05-17", "trading_start_date": "2022-05-18"}, "TCS": {"ipo_date": null}}',
        '[{"symbol": "TCS"}, {"symbol": "LICI", "trading_start_date": "2022-05-18", "ipo_date": "2022-05-17"}]',
    ],
)
def test_a_universe_may_be_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "u.json").write_text(text)
    assert read_universe(tmp_path / "u.json").listings == (
        Listing("LICI", "", date(2022, 5, 17), date(2022, 5, 18)),
        Listing("TCS"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not a universe file: Expecting"),
        ('"TCS"', "neither an object with one for each symbol nor a list"),
        ('{"TCS": 1}', "neither an object with one for each symbol nor a list"),
        ('{"TCS": {}, "TCS": {}}', "TCS stands there twice in one object"),
        ('{"TCS": {"ipo_date": "soon"}}', "row 1: ipo_date 'soon' is not a date"),
        ('{"tcs": {}}', "row 1: 'tcs' is not a symbol"),
        ("[]", "column 'symbol' is missing"),
        ("[" * 100_000, "is not a universe file"),
    ],
)
def test_json_that_is_no_universe_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "u.json").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_universe(tmp_path / "u.json")
    assert str(tmp_path / "u.json") in str(caught.value)
