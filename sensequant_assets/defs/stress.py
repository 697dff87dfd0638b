"""The check `stress` of the asset `champions`: how who serves bears crashes and shocks."""

from typing import Any

import dagster as dg

from sensequant_assets.batch.serving import of_champion
from sensequant_assets.batch.stress import Stressed, past_of_champion, stress
from sensequant_assets.core.judging.stress import State
from sensequant_assets.defs.names import CHAMPIONS, STRESS
from sensequant_assets.defs.resources import MarketResource
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import Settings
from sensequant_assets.text import markdown_text, printable


def stress_check(settings: Settings) -> dg.AssetChecksDefinition:
    """The check `stress`.

    Parameters
    ----------
    settings
        Periods, limits, and how a portfolio is held.
    """

    @dg.asset_check(
        asset=CHAMPIONS,
        name=STRESS,
        description="The champion's walk-forward predictions in periods of the past, and its answers under shocks to "
        "the newest bars, lie within the limits that settings name. A period that it does not cover never passes; "
        "where none is covered the check does not either. It stops nothing.",
    )
    def champions_stress(market: dg.ResourceParam[MarketResource]) -> dg.AssetCheckResult:
        try:
            standing = of_champion(market.settings, market.champions, market.features)
            found = stress(standing, past_of_champion(standing, market.champions), settings)
        except UsageError as error:
            return _result(f"Nothing could be tested: {error}", passed=False, failed=False, metadata={})
        return _result(str(found), passed=found.passed, failed=found.failed, metadata=_metadata(found))

    return champions_stress


def _result(said: str, *, passed: bool, failed: bool, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=CHAMPIONS,
        check_name=STRESS,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description=markdown_text(said),
        metadata=metadata,
    )


def _metadata(found: Stressed) -> dict[str, Any]:
    rows = [
        dg.TableRecord({"test": each.name, "state": str(each.state), "what it came to": printable(each.said)})
        for each in found.tests
    ]
    counts = {state.name.lower(): found.count(state) for state in State}
    return {
        "champion": printable(found.title), **counts, "tests": dg.MetadataValue.table(rows),
        "remarks": printable(" ".join(found.remarks)),
    }  # fmt: skip
