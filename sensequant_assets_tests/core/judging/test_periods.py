"""Claims about periods as a setting spells them."""

from datetime import date

import pytest

from sensequant_assets.core.judging.periods import Period, read_periods
from sensequant_assets.settings import Settings


def test_a_period_has_a_name_and_both_of_its_days_and_one_day_is_a_period() -> None:
    assert read_periods("a: b: 2024-06-03/2024-06-04,  day:2024-06-05/2024-06-05 ") == [
        Period("a: b", date(2024, 6, 3), date(2024, 6, 4)),
        Period("day", date(2024, 6, 5), date(2024, 6, 5)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-03/2024-06-04", ": 2024-06-03/2024-06-04", "a: 2024-06-03", "a: 2024-06-04/2024-06-03",
        "a: x/2024-06-03",
        "a: 2024-06-03/2024-06-04,", "a: 2024-06-03/2024-06-04, a: 2024-07-03/2024-07-04",
    ],
)  # fmt: skip
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_periods(text)


def test_the_default_has_the_crash_of_march_2020_the_rate_shock_and_the_election() -> None:
    found = read_periods(Settings.model_fields["stress_periods"].default)
    assert {"crash of March 2020", "rate shock of 2022", "Indian election"} <= {each.name for each in found}
    assert Period("Indian election", date(2024, 6, 3), date(2024, 6, 4)) in found
