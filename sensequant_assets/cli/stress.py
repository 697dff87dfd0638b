"""`sensequant stress`: how students bear periods of the past, and shocks to the newest bars."""

from typing import Any

import click
from rich.table import Table

from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.stress import Stressed, past_of_batch, past_of_champion
from sensequant_assets.batch.stress import stress as test
from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import setting_option, settings_of, telemetry_store
from sensequant_assets.cli.predict import standing_of
from sensequant_assets.errors import Exit
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.store import ModelStore
from sensequant_assets.text import json_text


@click.command()
@click.option("--unproven", is_flag=True, help="The latest batch, which nobody has promoted.")
@click.option("--batch", "batch_id", metavar="ID", help="This batch, which nobody has promoted.")
@setting_option("stress_periods")
@setting_option("stress_max_drawdown")
@setting_option("stress_min_answered")
@setting_option("stress_max_change")
@setting_option("top")
@setting_option("cost_bp")
@setting_option("price_band")
@click.option("--json", "as_json", is_flag=True, help="The whole as one JSON object.")
def stress(unproven: bool, batch_id: str | None, as_json: bool, **options: Any) -> Exit:
    """Test the champion: what it came to in periods of the past, and what shocks to the newest bars do to it.

    A period that its walk-forward predictions do not reach is not covered, and never counts as passed. Shocks change
    the newest bars: a gap, moves three times as large, missing days, a feed that stopped, a split that nobody adjusted.

    \b
    Exit codes: 0 no test fails; 1 one does; 2 bad usage or input; 3 a fault of the program.

    \b
    sensequant stress
    sensequant stress --unproven --stress-max-drawdown 0.1 --json
    """
    settings, telemetry = settings_of(options, remembered=True), telemetry_store()
    standing = standing_of(settings, telemetry, batch_id, unproven=unproven)
    universe = standing.market.universe.name
    if standing.champion is None:
        subject = Subject.of_batch(telemetry, standing.batch_id)
        past = past_of_batch(standing, subject, ModelStore(settings.models_dir, universe))
    else:
        past = past_of_champion(standing, ChampionStore(settings.champions_dir, universe))
    found = test(standing, past, settings, lambda name: say(f"testing {name}", err=True))
    if as_json:
        click.echo(json_text(found.as_json()))
    else:
        _show(found)
    return Exit.EXCEEDED if found.failed else Exit.DONE


def _show(found: Stressed) -> None:
    say(f"{found.title[0].upper()}{found.title[1:]}.")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("test", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("what it came to", overflow="fold")
    for each in found.tests:
        table.add_row(styled(each.name), str(each.state), styled(each.said))
    console(width=150).print(table)
    say(str(found))
    for remark in found.remarks:
        say(remark)
