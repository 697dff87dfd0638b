"""`sensequant briefing`: what is to be known of a batch before its students serve, in two minutes."""

from typing import Any

import click

from sensequant_assets.cli.champions import reading
from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import NO_BATCH, known_batch, setting_option, settings_of, telemetry_store
from sensequant_assets.errors import UsageError
from sensequant_assets.telemetry.journal import utc_now


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@setting_option("cost_bp")
def briefing(batch: str | None, **options: Any) -> None:
    """Write a briefing about a batch as HTML and Markdown, and print where they are.

    It says whether to promote, by the very rule of `sensequant promote`, and on what evidence: intervals, baselines,
    portfolio, data, what is not covered, and of every number where it comes from. It stands on one batch: an evaluation
    that is missing or of other models, or a backtest of other models, is refused.

    \b
    sensequant evaluate && sensequant backtest && sensequant briefing
    sensequant briefing 20260131-184502-3f9a
    """
    from sensequant_assets.batch.briefing import brief, write_briefing
    from sensequant_assets.batch.evaluation import Subject
    from sensequant_assets.batch.promotion import Places
    from sensequant_assets.market.market import Market
    from sensequant_assets.models.champions import ChampionStore
    from sensequant_assets.models.store import ModelStore

    settings, telemetry = settings_of(options), telemetry_store()
    found = known_batch(telemetry, batch)
    if found is None:
        raise UsageError(NO_BATCH)
    subject = Subject.of_batch(telemetry, found)
    market = Market.open(subject.settings, subject.teacher, subject.student, settings.features)
    universe = market.universe.name
    champions = ChampionStore(settings.champions_dir, universe)
    places = Places(ModelStore(settings.models_dir, universe), champions, telemetry)
    with reading() as tell:
        facts = brief(subject, market, places, settings=settings, at=utc_now(), tell=tell)
    page, text = write_briefing(facts, settings.data_dir)
    rule = facts["promotion"]
    say(f"{'Promote' if rule['passed'] else 'Do not promote'} batch {found}, by the rule of `sensequant promote`.")
    say(page)
    say(text)
