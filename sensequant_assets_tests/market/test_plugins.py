"""Claims about features that settings name: what is loaded, what is refused, and what is known of it."""

import importlib
import re
import shutil
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.core.features import FEATURE_NAMES
from sensequant_assets.core.judging.leaks import features_know_no_future
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.providers import STANDARD, features_of
from sensequant_assets.core.samples import Samples
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.market import plugins
from sensequant_assets.market.market import Market
from sensequant_assets.market.plugins import GROUP, providers_of
from sensequant_assets.settings import MarketSettings
from sensequant_assets_tests.making import bars_of, random_walk
from sensequant_assets_tests.running import sample_bars, write_universe
from sensequant_assets_tests.test_house import PROJECT

HEAD = "import numpy as np\n"
GOOD = f"{HEAD}def columns(bars):\n    return {{'wide': (bars.high - bars.low) / bars.close}}\n"


def plugin(tmp_path: Path, source: str, name: str = "mine.py") -> str:
    """The setting that names a function `columns` of a file."""
    (tmp_path / name).write_text(source)
    return f"{tmp_path / name}:columns"


def returning(expression: str) -> str:
    return f"{HEAD}def columns(bars):\n    n = len(bars)\n    return {expression}\n"


def why_not(named: str) -> str:
    with pytest.raises(UsageError) as refused:
        providers_of(named)
    return str(refused.value)


def test_the_default_is_the_provider_of_this_package_and_tests_nothing(monkeypatch):
    monkeypatch.delattr(plugins, "_histories")
    assert providers_of("standard") == (STANDARD,)


def test_a_function_of_a_file_is_a_provider_known_by_the_files_name_and_its_source(tmp_path):
    named = plugin(tmp_path, GOOD)
    standard, mine = providers_of(f"standard, {named}")
    assert standard is STANDARD
    assert mine.name == "mine.py:columns"
    bars = random_walk(60, 0)
    found = features_of((standard, mine), bars, None)
    assert found.names == (*FEATURE_NAMES, "wide")
    np.testing.assert_array_equal(found.table[:, -1], (bars.high - bars.low) / bars.close)
    assert re.fullmatch(r"mine\.py:columns [0-9a-f]{16}", mine.identity)


def test_other_source_is_another_provider_and_the_same_is_tested_once(tmp_path, monkeypatch):
    asked, tested = [], plugins._tested

    def counted(*given):
        asked.append(given)
        return tested(*given)

    monkeypatch.setattr(plugins, "_tested", counted)
    (one,), (again,) = (providers_of(plugin(tmp_path, GOOD)) for _ in range(2))
    (other,) = providers_of(plugin(tmp_path, GOOD.replace("high", "open")))
    (elsewhere,) = providers_of(plugin(tmp_path / "..", GOOD, name=f"{tmp_path.name}.py"))
    assert one is again
    assert len(asked) == 3
    assert one.digest != other.digest
    assert elsewhere.digest == one.digest


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("{'x': np.append(bars.close[1:], np.nan)}", "know the future: x changes with bars that come later. Read bars"),
        ("{'x': bars.close / bars.close.mean()}", "know the future: x changes with bars that come later. Read bars"),
        ("{'a': bars.close, 'x': np.arange(n, 0, -1)}", "know the future: x changes with bars"),
        (
            "{'x': np.random.default_rng().random(n)}",
            "say something else of 600 daily bars of TEST when they are asked",
        ),
        ("bars.close", "return a ndarray, not a mapping from names to columns."),
        ("None", "return a NoneType, not a mapping from names to columns."),
        ("{'x': 1.0}", "return column x of shape () for 600 bars."),
        ("{'x': bars.close[1:]}", "return column x of shape (599,) for 600 bars."),
        ("{'x': bars.close[:, None]}", "return column x of shape (600, 1) for 600 bars."),
        ("{'x': bars.time}", "return column x of type datetime64[s], which is no number."),
        ("{'x': np.array(['a'] * n)}", "return column x of type <U1, which is no number."),
        ("{'x': bars.close + 1j}", "return column x of type complex128, which is no number."),
        ("{'x': np.array([None] * n)}", "return column x of type object, which is no number."),
        ("{'x': np.log(bars.volume)}", "return an infinity in column x, at bar "),
        ("{'x y': bars.close}", "name a column 'x y': a name is a letter and up to 63 letters, digits and underscores"),
        ("{'': bars.close}", "name a column '': a name is a letter"),
        ("{7: bars.close}", "name a column '7': a name is a letter"),
        ("{'Label': bars.close}", "and none of time, forward_return, label."),
        ("{'<b>': bars.close}", "name a column '<b>'"),
        ("{'x': bars.close, 'X': bars.open}", "mine.py:columns both have a column X. Rename one."),
        ("bars.nothing", "fail on 600 daily bars of TEST: AttributeError: 'Bars' object has no attribute 'nothing'."),
        ("{'x': bars.close[50] + bars.close}", "fail on 2 daily bars of TEST: IndexError: "),
        ("exit('bye')", "fail on 600 daily bars of TEST: SystemExit: bye."),
        ("{'x': bars.close.sort() or bars.close}", "fail on 600 daily bars of TEST: ValueError: "),
        ("{f'x{n % 7}': bars.close}", "have other columns on"),
    ],
)
def test_what_is_no_provider_is_refused_by_its_name(tmp_path, expression, why):
    said = why_not(plugin(tmp_path, returning(expression)))
    assert said.startswith("The features mine.py:columns ")
    assert why in said


def test_a_column_that_another_provider_has_is_refused(tmp_path):
    named = plugin(tmp_path, returning("{'Return_1': bars.close}"))
    assert why_not(f"standard,{named}") == (
        "The features standard and mine.py:columns both have a column Return_1. Rename one."
    )
    assert why_not(f"{named},{named}").endswith("both have a column Return_1. Rename one.")
    assert len(providers_of(named)) == 1


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def columns(bars:\n", "cannot be loaded: SyntaxError: "),
        ("import no_such_module\n", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'."),
        ("raise SystemExit(3)\n", "cannot be loaded: SystemExit: 3."),
        ("columns = 3\ndef other(bars): ...\n", "has no function columns; it has ['other']."),
        ("", "has no function columns; it has none."),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_its_name(tmp_path, source, why):
    said = why_not(plugin(tmp_path, source))
    assert said.startswith("The features mine.py:columns cannot be loaded: ")
    assert why in said


@pytest.mark.parametrize("named", ["gone.py:columns", "/dev/zero.py:columns"])
def test_a_file_that_is_not_there_is_named(named):
    assert why_not(named).startswith(f"The features {named} cannot be read: No such file or directory")


@pytest.mark.parametrize("named", ["", "standrad", "standard,", "../x.csv:columns", "mine.py", "os:system"])
def test_a_name_that_no_provider_has_is_refused_with_those_there_are(named):
    said = why_not(named)
    assert said.startswith("SENSEQUANT_FEATURES names ")
    assert (
        "which no provider has. There are: standard. A function of a file is named as path/to/file.py:function." in said
    )


def distribution(directory: Path, name: str, version: str) -> Path:
    """An installed distribution with the entry point `turnover`, as `pip` leaves it."""
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nturnover = research_turnover:columns\n")
    importlib.invalidate_caches()
    return info


def test_an_entry_point_is_a_provider_known_by_its_version_and_its_source(tmp_path, monkeypatch):
    (tmp_path / "research_turnover.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    # What the test imports is forgotten after it.
    monkeypatch.setitem(sys.modules, "research_turnover", None)
    del sys.modules["research_turnover"]
    info = distribution(tmp_path, "research", "1.0")
    _, provider = providers_of("standard,turnover")
    assert provider.name == "turnover"
    assert features_of((provider,), random_walk(60, 0), None).names == ("wide",)
    shutil.rmtree(info)
    distribution(tmp_path, "research", "1.1")
    (newer,) = providers_of("turnover")
    assert newer.digest != provider.digest
    distribution(tmp_path, "search", "0.1")
    assert why_not("turnover") == (
        "The features turnover are in more than one distribution: research 1.1, search 0.1. Uninstall all but one."
    )


def test_intraday_bars_may_have_columns_of_their_own_and_an_empty_history_has_them_too(tmp_path):
    (mine,) = providers_of(plugin(tmp_path, returning("{'late' if bars.intraday else 'wide': bars.high / bars.low}")))
    assert features_of((mine,), random_walk(40, 0), None).names == ("wide",)
    empty = features_of((mine,), bars_of(np.empty(0)), None)
    assert (empty.names, empty.table.shape) == (("wide",), (0, 1))


def extending() -> str:
    page = (PROJECT / "docs" / "extending.md").read_text().split("## A feature")[1]
    return str(re.findall(r"```python\n(.*?)```", page, flags=re.S)[0])


def test_the_example_of_the_documentation_is_a_provider_that_knows_no_future(tmp_path):
    (example,) = providers_of(plugin(tmp_path, extending(), name="turnover.py"))
    histories = [random_walk(300, seed) for seed in (3, 4)]
    names = features_of((example,), histories[0], None).names
    assert names == ("above_mean_price", "dried_up")
    found = features_know_no_future(lambda bars: features_of((example,), bars, None).table, histories, names)
    assert found.passed, found.message
    last = features_of((example,), histories[0], None).table[-1]
    bars = histories[0]
    paid = (bars.close * bars.volume)[-20:].sum() / bars.volume[-20:].sum()
    assert last[0] == pytest.approx(bars.close[-1] / paid - 1)
    assert last[1] in (0.0, 1.0)


@pytest.fixture
def settings(tmp_path) -> MarketSettings:
    symbols = ("AAPL", "IBM")
    bars = sample_bars(tmp_path / "bars", symbols)
    return MarketSettings(universe=write_universe(tmp_path / "two.csv", symbols), bars=str(bars), end=date(2010, 1, 1))


def test_a_market_of_other_features_makes_its_models_from_other_data(tmp_path, settings):
    parameters = TeacherParameters(scope="symbol"), StudentParameters(scope="symbol")
    named = plugin(tmp_path, GOOD)

    def data(features: str) -> list[str]:
        market = Market.open(settings, *parameters, features)
        return [market.lesson(pair).data for pair in market.plan("IBM").pairs if pair.eligible]

    standard, mine = data("standard"), data(f"standard,{named}")
    assert mine == data(f"standard,{named}")
    assert standard == data("standard")
    # The numbers are the same, and only a comment is another.
    plugin(tmp_path, GOOD + "# once more\n")
    changed = data(f"standard,{named}")
    assert len(set(standard + mine + changed)) == 3 * len(standard) > 0
    assert Market.open(settings, *parameters, f"standard,{named}").mirrored(1).features[0] == "standard"


def test_what_a_provider_raises_on_real_bars_costs_the_windows_of_their_symbol(tmp_path, settings):
    source = f"{HEAD}def columns(bars):\n    assert bars.symbol != 'IBM', 'no IBM'\n    return {{'x': bars.close}}\n"
    market = Market.open(settings, TeacherParameters(), StudentParameters(), plugin(tmp_path, source))
    broken = market.plan("IBM").samples
    assert isinstance(broken, WindowError)
    assert broken.kind is FailureKind.CODE_ERROR
    assert re.fullmatch(
        r"The features mine\.py:columns fail on \d+ daily bars of IBM: AssertionError: no IBM\.", str(broken)
    )
    assert isinstance(market.plan("AAPL").samples, Samples)
