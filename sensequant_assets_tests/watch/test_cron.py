"""Claims about cron lines."""

import random

import pytest
from dagster._utils.schedules import is_valid_cron_string

from sensequant_assets.watch.cron import is_cron


@pytest.mark.parametrize(
    "line",
    [
        "* * * * *",
        "30 18 * * 1-5",
        "0 3 * * 0",
        "0 3 * * 7",
        "*/15 9-16/2 1,15 jan-mar MON",
        "0 0 29 2 *",
        "0 0 30,31 2,4 *",
        "@daily",
    ],
)
def test_lines_that_come_are_cron_lines(line: str) -> None:
    assert is_cron(line)
    assert is_valid_cron_string(line)


@pytest.mark.parametrize(
    "line",
    [
        "", " ", "* * * *", "* * * * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8",
        "*/0 * * * *", "*/70 * * * *", "5-1 * * * *", "1/5 * * * *", "1, * * * *", "-1 * * * *",
        "\N{FULLWIDTH DIGIT ONE} * * * *",
        "0 0 31 2 *", "0 0 31 feb,apr *", "@reboot", "@every 5m", "18:30", "every day", "*\t* * * *", "* * * * *\n",
    ],
)  # fmt: skip
def test_what_never_comes_or_is_no_line_is_none(line: str) -> None:
    assert not is_cron(line)


def test_what_is_taken_dagster_takes() -> None:
    rng = random.Random(9)  # noqa: S311  # nothing secret
    pieces = ["*", "0", "7", "5", "31", "59", "1-5", "5-1", "*/2", "*/0", "1-9/3", "mon", "feb", "1,2", "L", "?", "-"]
    lines = [" ".join(rng.choice(pieces) for _ in range(rng.choice([5, 5, 5, 5, 4, 6]))) for _ in range(3000)]
    taken = [line for line in lines if is_cron(line)]
    assert len(taken) > 50
    assert [line for line in taken if not is_valid_cron_string(line)] == []
