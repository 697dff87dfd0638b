"""`sensequant predict`: what students say of the newest bars of the universe."""

from collections import Counter
from datetime import datetime

import click
from rich.table import Table

from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.prediction import MEANING, Flag, Predictions, as_object, newest_bars, note
from sensequant_assets.batch.prediction import predict as said_of
from sensequant_assets.batch.serving import NoChampionError, Standing, of_batch, of_champion
from sensequant_assets.cli.console import console, say, styled
from sensequant_assets.cli.options import named_batch, parts_of, settings_of, telemetry_store
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import Settings
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.text import counted, json_text

_UNPROVEN = " To see what the latest batch says all the same, give --unproven, or name one with --batch ID."
_AGE_D = 5
"""Days after which the newest bar is called old: the longest usual gap between two sessions is shorter."""


@click.command()
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="From the bars of this day or before; newest.")
@click.option("--symbols", callback=parts_of, help="Only these, separated by commas.")
@click.option("--unproven", is_flag=True, help="Of the latest batch, which nobody has promoted.")
@click.option("--batch", "batch_id", metavar="ID", help="Of this batch, which nobody has promoted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a symbol and line.")
def predict(
    day: datetime | None, symbols: list[str] | None, unproven: bool, batch_id: str | None, as_json: bool
) -> None:
    """Say of each symbol how probable label 1 is after its newest bar, by the students of the champion.

    Every symbol has an answer or a reason why not. An answer carries its flags: fresh, or what is to be known of it.
    What is said is kept in the table `predictions` of telemetry and never changes: asked a second time, a bar has the
    answer of the first time.

    \b
    sensequant predict
    sensequant predict --date 2025-12-11 --symbols RELIANCE,INFY --json
    sensequant predict --unproven
    """
    settings, telemetry = settings_of({}, remembered=True), telemetry_store()
    standing = standing_of(settings, telemetry, batch_id, unproven=unproven)
    universe = standing.market.universe
    chosen = universe.symbols if symbols is None else universe.select(symbols)
    bars = newest_bars(standing.market, chosen, day.date() if day else None)
    forecasts, new = note(telemetry, standing.batch_id, said_of(standing, bars, utc_now()))
    if as_json:
        for row in forecasts.rows:
            click.echo(json_text(as_object(row)))
    else:
        _table(forecasts)
    for line in _told(standing, forecasts, new):
        say(line, err=as_json)
    for symbol, why in forecasts.missing.items():
        say(f"No prediction of {symbol}: {why}", err=as_json)


def standing_of(settings: Settings, telemetry: TelemetryStore, batch_id: str | None, *, unproven: bool) -> Standing:
    """The students that a command means: the champion, or a batch that is named or the latest."""
    if batch_id is None and not unproven:
        try:
            champions = ChampionStore(settings.champions_dir, settings.universe_name)
            return of_champion(settings, champions, settings.features)
        except NoChampionError as error:
            raise UsageError(f"{error}{_UNPROVEN}") from error
    subject = Subject.of_batch(telemetry, named_batch(telemetry, batch_id))
    models = ModelStore(settings.models_dir, subject.settings.universe_name)
    return of_batch(subject, models, settings.features)


def _table(forecasts: Predictions) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("symbol", "bar", "p", "p raw", "distance", "model of window", "flags"):
        table.add_column(name, justify="right" if name in ("p", "p raw", "distance") else "left", no_wrap=True)
    for row in sorted(forecasts.rows, key=lambda each: -(each.p_raw or 0)):
        table.add_row(
            styled(row.symbol), str(row.time).removesuffix("T00:00:00"), f"{row.p:.4f}", f"{row.p_raw:.4f}",
            "-" if row.distance is None else f"{row.distance:.2f}", str(row.window_start),
            styled(f"{'unproven, ' if row.model == 'unproven' else ''}{row.flags}"),
        )  # fmt: skip
    console(width=120).print(table)


def _told(standing: Standing, forecasts: Predictions, new: int) -> list[str]:
    """What the predictions stand on, and what their flags mean."""
    rows, day = forecasts.rows, forecasts.day
    flags = Counter(flag for row in rows for flag in str(row.flags).split(", "))
    lines = [
        f"{counted(len(rows), 'prediction')} from the bars of {day}, {counted(new, 'new row')} in the table "
        f"`predictions`: {standing.title}."
    ]
    lines += [f"{flag}: {count} of {len(rows)} ({MEANING[Flag(flag)]})." for flag, count in flags.most_common()]
    age = (utc_now().date() - day).days
    if age > _AGE_D:
        lines.append(f"These bars are {counted(age, 'day')} old.")
    if len(rows) > new:
        lines.append(f"{counted(len(rows) - new, 'prediction')} of these bars stood there already; none changes.")
    return lines
