"""Claims about the rule by which models are promoted."""

from dataclasses import replace

import numpy as np
import pytest

from sensequant_assets.core.bars import Floats
from sensequant_assets.core.judging.bootstrap import Estimate
from sensequant_assets.core.judging.promotion import CONDITIONS, Condition, Promotion, judge_promotion, of_trials
from sensequant_assets.core.judging.walk_forward import Rows

DAYS, SYMBOLS = 600, 6
ALONE = tuple(CONDITIONS)[:4]


def market(seed: int = 3, days: int = DAYS) -> tuple[Rows, Floats]:
    """Rows whose label is drawn by a probability, and that probability, which knows the return's order too."""
    rng = np.random.default_rng(seed)
    known = rng.normal(size=days * SYMBOLS)
    chance = 1 / (1 + np.exp(-known))
    label = (rng.random(len(chance)) < chance).astype(np.float64)
    rows = Rows(
        time=np.repeat(np.arange("2020-01-01", days, dtype="datetime64[D]").astype("datetime64[s]"), SYMBOLS),
        symbol=np.tile(np.arange(SYMBOLS), days),
        window=np.repeat(np.arange(days) // 100, SYMBOLS),
        label=label,
        forward_return=0.01 * (known + rng.normal(size=len(known))),
        training_rate=np.full(len(label), 0.5),
        horizon=1,
    )
    return rows, chance


def by_name(found: Promotion) -> dict[str, Condition]:
    return {each.name: each for each in found.conditions}


def failed(found: Promotion) -> set[str]:
    return {each.name for each in found.failed}


def test_who_knows_something_is_promoted_and_each_condition_says_so_in_numbers() -> None:
    rows, chance = market()
    found = judge_promotion(rows, chance, trials=5)
    assert found.passed
    assert tuple(by_name(found)) == ALONE
    for each in found.conditions[1:]:
        assert (each.rows, each.dates, each.blocks) == (DAYS * SYMBOLS, DAYS, DAYS // found.block_length)
        assert each.found.low < each.found.value < each.found.high
    brier = by_name(found)["brier"]
    assert brier.baseline == 0.25
    assert brier.found.value == pytest.approx(((chance - rows.label) ** 2).mean() - 0.25)
    assert f"{brier.found.value:+.5f} [{brier.found.low:+.5f}, {brier.found.high:+.5f}] against 0.25000" in str(brier)
    assert "on 3,600 rows of 600 dates, 200 blocks" in str(brier)


def test_noise_is_refused_by_its_order_and_by_its_losses() -> None:
    rows, _ = market()
    noise = np.random.default_rng(4).uniform(0.4, 0.6, len(rows))
    assert failed(judge_promotion(rows, noise, trials=1)) == {"rank_ic", "rank_ic_of_trials", "brier"}


def test_right_order_with_wrong_probabilities_is_refused_by_its_losses_alone() -> None:
    rows, chance = market()
    assert failed(judge_promotion(rows, 0.8 + 0.2 * chance, trials=1)) == {"brier"}


def test_right_probabilities_of_moments_without_an_order_are_refused_by_their_order_alone() -> None:
    rows, _ = market()
    day = np.arange(len(rows)) // SYMBOLS
    of_day = np.bincount(day, rows.label)[day] / SYMBOLS
    found = judge_promotion(rows, of_day, trials=1)
    assert failed(found) == {"rank_ic", "rank_ic_of_trials"}
    # The same is served of all symbols of a moment: that is no order, and no gap in the series either.
    assert (by_name(found)["rank_ic"].found.value, by_name(found)["rank_ic"].dates) == (0.0, DAYS)


def test_moments_without_an_order_count_as_nothing_known() -> None:
    rows, chance = market()
    half = np.where(np.arange(len(rows)) < len(rows) // 2, chance, 0.5)
    whole, part = (by_name(judge_promotion(rows, said, trials=1))["rank_ic"] for said in (chance, half))
    assert part.dates == whole.dates
    assert 0.4 * whole.found.value < part.found.value < 0.6 * whole.found.value


def test_fewer_dates_than_intervals_need_are_refused_whatever_they_show() -> None:
    rows, chance = market(days=499)
    found = judge_promotion(rows, chance, trials=1)
    assert failed(found) == {"dates"}
    assert str(found.failed[0]) == "at least 500 dates: 499."
    assert judge_promotion(*market(days=500), trials=1).passed


def test_the_best_of_many_trials_must_show_more_than_the_only_one() -> None:
    rows, chance = market()
    weak = 0.5 + 0.02 * (np.random.default_rng(5).random(len(rows)) - 0.5) + 0.0014 * (chance - 0.5)
    alone, among = (by_name(judge_promotion(rows, weak, trials)) for trials in (1, 1000))
    assert alone["rank_ic"].passed
    assert alone["rank_ic_of_trials"].found == alone["rank_ic"].found == among["rank_ic"].found
    assert not among["rank_ic_of_trials"].passed
    assert among["rank_ic_of_trials"].found.low < 0 < among["rank_ic"].found.low


def test_the_luckiest_of_twenty_trials_of_noise_passes_one_time_in_twenty_at_most() -> None:
    rng, blocks = np.random.default_rng(6), 40
    values = rng.normal(size=(400, 20, blocks))
    mean, error = values.mean(axis=2), values.std(axis=2, ddof=1) / np.sqrt(blocks)
    from scipy.stats import t

    half = t.ppf(0.975, blocks - 1) * error
    luckiest = (mean / half).argmax(axis=1)
    best = [Estimate(m[k], m[k] - h[k], m[k] + h[k]) for m, h, k in zip(mean, half, luckiest, strict=True)]
    assert np.mean([one.low > 0 for one in best]) > 0.3
    assert np.mean([of_trials(one, blocks, 20).low > 0 for one in best]) < 0.05


def test_an_incumbent_that_says_the_same_stops_nobody() -> None:
    rows, chance = market()
    found = judge_promotion(rows, chance, 1, chance.copy())
    assert found.passed
    assert tuple(by_name(found)) == tuple(CONDITIONS)
    assert by_name(found)["rank_ic_over_incumbent"].found == Estimate(0.0, 0.0, 0.0)


def test_a_challenger_that_is_surely_worse_than_the_incumbent_is_refused_by_both_differences() -> None:
    rows, chance = market()
    weak = 0.5 + 0.1 * (chance - 0.5) + 0.1 * (np.random.default_rng(7).random(len(rows)) - 0.5)
    assert judge_promotion(rows, weak, 1).passed
    found = judge_promotion(rows, weak, 1, chance)
    assert failed(found) == {"rank_ic_over_incumbent", "brier_over_incumbent"}
    gap = by_name(found)["rank_ic_over_incumbent"]
    assert gap.found.high < 0
    assert gap.baseline + gap.found.value == pytest.approx(by_name(found)["rank_ic"].found.value)
    assert judge_promotion(rows, chance, 1, weak).passed


def test_the_two_are_compared_on_the_rows_of_both_of_which_there_must_be_enough() -> None:
    rows, chance = market(days=700)
    late = np.arange(len(rows)) >= 150 * SYMBOLS
    found = judge_promotion(rows, chance, 1, np.where(late, chance, np.nan))
    assert found.passed
    assert {each.dates for each in found.conditions[-2:]} == {550}
    few = judge_promotion(rows, chance, 1, np.where(np.arange(len(rows)) >= 201 * SYMBOLS, chance, np.nan))
    assert failed(few) == {"rank_ic_over_incumbent", "brier_over_incumbent"}
    assert {each.dates for each in few.conditions[-2:]} == {499}


def test_a_difference_of_ranks_is_taken_among_the_same_symbols() -> None:
    rows, chance = market()
    # On the symbols that the incumbent knows the challenger knows the order as well as it does, elsewhere nothing.
    shared = rows.symbol < 3
    noise = np.random.default_rng(8).random(len(rows))
    found = judge_promotion(rows, np.where(shared, chance, noise), 1, np.where(shared, chance, np.nan))
    assert by_name(found)["rank_ic_over_incumbent"].found == Estimate(0.0, 0.0, 0.0)


def test_what_the_rows_cannot_answer_is_not_passed() -> None:
    rows, chance = market()
    nothing = np.full(len(rows), np.nan)
    assert failed(judge_promotion(rows, nothing, 1, chance)) == set(CONDITIONS)
    silent = judge_promotion(rows, chance, 1, nothing)
    assert failed(silent) == {"rank_ic_over_incumbent", "brier_over_incumbent"}
    assert "the rows cannot answer" in str(silent.failed[0])
    two = rows.where(rows.symbol < 2)
    assert failed(judge_promotion(two, chance[rows.symbol < 2], 1)) == {"rank_ic", "rank_ic_of_trials"}
    assert by_name(silent)["brier_over_incumbent"].as_json()["value"] is None


def test_a_day_of_several_bars_is_one_date() -> None:
    rows, chance = market(days=1000)
    hours = np.arange(len(rows)) // SYMBOLS % 2
    day = rows.time[0] + (np.arange(len(rows)) // SYMBOLS // 2) * np.timedelta64(86_400, "s")
    found = judge_promotion(replace(rows, time=day + hours * np.timedelta64(3600, "s")), chance, 1)
    assert (by_name(found)["dates"].dates, found.passed) == (500, True)
