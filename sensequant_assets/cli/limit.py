"""`sensequant limit`: another limit for a batch that runs or has ended."""

from typing import TYPE_CHECKING

import click

from sensequant_assets.batch.rows import check_verdict
from sensequant_assets.cli.console import say
from sensequant_assets.cli.options import Number, known_batch, telemetry_store, who
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.limits import change_limit
from sensequant_assets.telemetry.questions.batches import batch
from sensequant_assets.text import json_text
from sensequant_assets.watch.verdicts import judge_anew

if TYPE_CHECKING:
    from sensequant_assets.core.outcome import Verdict


@click.command()
@click.argument("batch_id", metavar="BATCH")
@click.argument("max_failure_rate", metavar="SHARE", type=Number(min=0, max=1))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
def limit(batch_id: str, max_failure_rate: float, as_json: bool) -> None:
    """Change which share of its attempted windows a batch may fail, while it runs or after it.

    Telemetry keeps who changed it, when and to what, and the last change counts. A run that goes on looks for it
    between windows if it stops early, and judges by it at its end. A batch that has ended is judged anew at once; its
    check in the UI says so once it is executed.

    \b
    sensequant limit 20260131-184502-3f9a 0.2
    """
    telemetry = telemetry_store()
    known_batch(telemetry, batch_id)
    before = batch(telemetry, batch_id)["max_failure_rate"]
    change_limit(telemetry, batch_id, max_failure_rate, who())
    with telemetry.session():
        found = batch(telemetry, batch_id)
        verdicts = judge_anew(telemetry, found)
    if verdicts:
        with Journal(telemetry.shards, batch_id=batch_id, run_id="", clock=utc_now) as journal:
            journal.append_many(map(check_verdict, verdicts.values()))
    if as_json:
        names = ("batch_id", "status", "max_failure_rate", "limit_by")
        told = {name: found[name] for name in names} | {"max_failure_rate_before": before}
        click.echo(json_text(told | {"passed": {model: one.passed for model, one in verdicts.items()}}))
        return
    was = "not known" if before is None else f"{before:.1%}"
    say(f"Batch {batch_id} may fail {max_failure_rate:.1%} of its attempted windows; before it was {was}.")
    if found["status"] == "running":
        say("It is running, and is judged by this limit at its end.")
    elif not verdicts:
        say("Its verdict is still to come, and will be by this limit.")
    for one in verdicts.values():
        say(_judged(one))


def _judged(verdict: "Verdict") -> str:
    if verdict.failure_rate is None:
        return f"No {verdict.model} was attempted: its check {'passed' if verdict.passed else 'failed'}."
    rest = f"; {verdict.not_attempted} were not attempted" if verdict.not_attempted else ""
    return (
        f"{verdict.failed} of {verdict.attempted} attempted {verdict.model}s failed, {verdict.failure_rate:.1%}{rest}: "
        f"their check {'passed' if verdict.passed else 'failed'}."
    )
