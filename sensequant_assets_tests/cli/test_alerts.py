"""Claims about what a command posts where nobody looks at its terminal."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from sensequant_assets.cli.alerts import alerting
from sensequant_assets.errors import BrokeOffError, StoppedError, UsageError
from sensequant_assets.settings import Settings
from sensequant_assets_tests.running import Home, corrupt, sample_bars, write_universe
from sensequant_assets_tests.watch.test_notify import Webhook, plain, serving


def settings_with(webhook: Webhook) -> Settings:
    return Settings(universe=Path("five.csv"), webhook_url=SecretStr(plain(webhook).get_secret_value()))


@pytest.mark.parametrize(
    ("error", "posted"),
    [
        (BrokeOffError("The run broke off: no room."), ["The run broke off: no room."]),
        (OSError(28, "No space left"), ["OSError: [Errno 28] No space left"]),
        # Who stops it knows.
        (StoppedError("The run was interrupted."), []),
    ],
)
def test_the_error_that_ends_a_command_is_posted_and_goes_on(error: Exception, posted: list[str]) -> None:
    with serving() as webhook:
        with pytest.raises(type(error)), alerting(True, settings_with(webhook), "backfill"):
            raise error
        assert [one["message"] for one in webhook.received] == posted


def test_nothing_is_posted_that_nobody_asked_for() -> None:
    with serving() as webhook:
        with alerting(False, settings_with(webhook), "backfill") as tell:
            tell("Failed.")
        assert webhook.received == []


def test_an_alert_without_anybody_to_tell_is_refused() -> None:
    with (
        pytest.raises(UsageError, match="--notify has nobody to tell: set SENSEQUANT_WEBHOOK_URL"),
        alerting(True, Settings(), "backfill"),
    ):
        pass


def test_a_batch_whose_check_fails_is_posted_once_with_its_numbers(tmp_path: Path) -> None:
    corrupt(sample_bars(tmp_path / "bars", ["AAPL"]) / "AAPL.csv")
    write_universe(tmp_path / "one.csv", ["AAPL"])
    asked = ("--universe", "one.csv", "--bars", "bars", "--end", "2009-06-30", "--notify")
    with serving() as webhook:
        finished = Home(tmp_path).backfill(*asked, SENSEQUANT_WEBHOOK_URL=plain(webhook).get_secret_value())
        assert finished.code == 1, finished.err
        batch = finished.json["batch_id"]
        assert webhook.received == [
            {
                "command": "backfill",
                "message": f"Batch {batch}: 1 of 1 attempted teachers failed: 100.0% exceeds the limit of 15.0%. "
                "0 skipped windows do not count.",
                "universe": "one",
                "batch": batch,
                "failed": 1,
                "attempted": 1,
            }
        ]
