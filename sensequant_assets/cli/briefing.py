"""`sensequant briefing`: what is to be known of a batch before its students serve, in two minutes."""

from typing import Any

import click

from sensequant_assets.cli.champions import asked_about, reading
from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import setting_option, settings_of
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

    settings = settings_of(options)
    subject, market, places = asked_about(batch, settings)
    with reading() as tell:
        facts = brief(subject, market, places, settings=settings, at=utc_now(), tell=tell)
    page, text = write_briefing(facts, settings.data_dir)
    advice = "Promote" if facts["promotion"]["passed"] else "Do not promote"
    say(f"{advice} batch {subject.batch_id}, by the rule of `sensequant promote`.")
    say(page)
    say(text)
