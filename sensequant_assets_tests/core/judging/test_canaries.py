"""Claims about canaries: symbols whose answer is known."""

import numpy as np
import pytest

from sensequant_assets.core.judging.canaries import EDGE, Canaries, Watch, synthetic_bars
from sensequant_assets.core.judging.noise import Band

TIME = (np.datetime64("2022-01-03") + np.arange(2000)).astype("datetime64[s]")
BANDS = {"teacher": Band(-2.0, 2.0, 768), "student": Band(-1.0, 1.0, 768)}


def knows(edge: float) -> float:
    """Correlation of the last five bars' return with the next bar's."""
    close = np.log(synthetic_bars("CANARY1", TIME, 0.02, 7, edge).close)
    past, ahead = close[5:-1] - close[:-6], np.diff(close)[5:]
    return float(np.corrcoef(past, ahead)[0, 1])


def test_noise_knows_nothing_of_the_next_bar_and_a_planted_edge_does() -> None:
    assert abs(knows(0.0)) < 0.06
    assert knows(EDGE) > 0.4


@pytest.mark.parametrize("edge", [0.0, EDGE])
def test_canaries_are_bars_as_lively_as_they_are_told_to_be_and_fresh_by_seed_and_symbol(edge: float) -> None:
    bars = synthetic_bars("CANARY1", TIME, 0.02, 7, edge)
    assert np.diff(np.log(bars.close)).std() == pytest.approx(0.02, rel=0.1)
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.close == synthetic_bars("CANARY1", TIME, 0.02, 7, edge).close).all()
    for other in (synthetic_bars("CANARY2", TIME, 0.02, 7, edge), synthetic_bars("CANARY1", TIME, 0.02, 8, edge)):
        assert (bars.close != other.close).any()


def test_false_alarms_are_counted_by_the_band_of_their_model_on_either_side_and_finds_above_it_alone() -> None:
    noise: dict[str, list[float | None]] = {"teacher": [0.0, 1.5, -2.5, None], "student": [1.5, 0.0]}
    planted: dict[str, list[float | None]] = {"teacher": [2.5, -3.0], "student": [0.5, 4.0]}
    found = Canaries.of(noise, planted, BANDS, 1.2)
    assert (found.windows, found.outside, found.planted, found.above) == (5, 2, 4, 2)
    # A mean of 1 over four windows of two models, which are as good as two windows.
    assert found.strength == pytest.approx(2**0.5)
    assert not found.found
    assert "NOT found" in str(found)
    assert Canaries(**found.as_json()) == found


def night(outside: int, strength: float = 5.0) -> Canaries:
    return Canaries(16, outside, 16, 9, strength, 1.0)


def test_nights_pass_while_false_alarms_are_no_more_than_chance_and_an_edge_was_found() -> None:
    assert Watch.over([night(1)] * 29 + [night(5, strength=0.1)]).passed
    singing = Watch.over([night(2)] * 28)
    assert (singing.windows, singing.outside) == (448, 56)
    assert singing.p < 0.01
    assert not singing.passed
    blind = Watch.over([night(0, strength=0.1)] * 3)
    assert blind.p > 0.9
    assert not blind.passed
    assert "found in 0 of 3" in str(blind)


def test_where_no_canary_was_kept_nobody_can_say_that_they_are_quiet() -> None:
    nobody = Watch.over([])
    assert not nobody.passed
    assert str(nobody).startswith("No canaries yet")
