"""`sensequant replay`: what another policy would have made of past batches."""

from collections.abc import Iterable, Mapping, Sequence

import click
from rich.table import Table

from sensequant_assets.batch.replay import Policy, Range, Replayed, pasts
from sensequant_assets.batch.replay import replay as under
from sensequant_assets.cli.console import console, say
from sensequant_assets.cli.options import NO_BATCH, Number, telemetry_store
from sensequant_assets.errors import UsageError
from sensequant_assets.text import json_text

_WORDS = {True: "yes", False: "no", None: "not known"}


@click.command()
@click.option("--max-failure-rate", type=Number(min=0, max=1), metavar="SHARE", help="Share of windows that may fail.")
@click.option("--retry-limit", type=click.IntRange(0, 10), metavar="N", help="Most attempts, the first included.")
@click.option("--stop-early/--no-stop-early", default=None, help="End a batch once it is certain that too many fail.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only so many of the latest batches.")
@click.option("--json", "as_json", is_flag=True, help="The whole as one JSON object.")
def replay(
    max_failure_rate: float | None, retry_limit: int | None, stop_early: bool | None, last: int | None, as_json: bool
) -> None:
    """Say what another policy would have made of past batches, from telemetry alone; nothing is trained.

    What is not given is as each batch had it. What no row can tell, such as the result of an attempt that was never
    made, is not known, and numbers that hang on it have a lower and an upper bound.

    \b
    sensequant replay --max-failure-rate .1 --retry-limit 2
    sensequant replay --stop-early --last 90 --json
    """
    if max_failure_rate is None and retry_limit is None and stop_early is None:
        raise click.UsageError("Say what is otherwise: --max-failure-rate, --retry-limit or --stop-early.")
    telemetry = telemetry_store()
    found, without = pasts(telemetry, last)
    if not found and not without:
        raise UsageError(NO_BATCH)
    policy = Policy(max_failure_rate, retry_limit, stop_early)
    replayed = [under(past, policy) for past in found]
    if as_json:
        click.echo(json_text({"batches": [one.as_json() for one in replayed], "not_replayed": without}))
    else:
        _show(replayed, without)


def _show(replayed: Sequence[Replayed], without: Mapping[str, str]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("batch", "passed", "would pass", "blocked", "ends early"):
        table.add_column(name, no_wrap=True)
    for name in ("attempts", "would be", "retried", "unknown", "CPU s", "would be", "window s", "would be"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in replayed:
        was, would = one.past.cost, one.cost
        table.add_row(
            one.past.batch_id, _WORDS[one.past.passed], _WORDS[one.passed], _WORDS[one.blocked],
            _WORDS[one.ended_early], _range(was.attempts), _range(would.attempts), _range(would.retried),
            _range(would.unknown), _range(was.cpu_s, ".1f"), _range(would.cpu_s, ".1f"), _range(was.wall_s, ".1f"),
            _range(would.wall_s, ".1f"),
        )  # fmt: skip
    if replayed:
        console(width=170).print(table)
        for told in _sums(replayed):
            say(told)
    for batch_id, why in without.items():
        say(f"Batch {batch_id} is not replayed: {why}.")


def _sums(replayed: Sequence[Replayed]) -> Iterable[str]:
    would = [one.passed for one in replayed]
    batches = f"{len(replayed)} batch{'es' * (len(replayed) != 1)}"
    yield (
        f"Of {batches} {sum(one.past.passed for one in replayed)} passed; under this policy "
        f"{would.count(True)} would, {would.count(False)} would not, and of {would.count(None)} it is not known."
    )
    was = sum(one.past.cost.attempts[0] for one in replayed)
    least, most = (sum(one.cost.attempts[end] for one in replayed) for end in (0, 1))
    cpu, cpu_least = (sum(cost.cpu_s[0] for cost in costs) for costs in zip(
        *((one.past.cost, one.cost) for one in replayed), strict=True
    ))  # fmt: skip
    ends = [one.cost.cpu_s[1] for one in replayed]
    whole = [end for end in ends if end is not None]
    cpu_most = sum(whole) if len(whole) == len(ends) else None
    yield (
        f"Attempts {was:,}, would be {_range((least, most))}; CPU seconds of windows {cpu:,.1f}, would be "
        f"{_range((cpu_least, cpu_most), ',.1f')}."
    )
    if any(one.cost.unknown[1] for one in replayed):
        yield ("An attempt without a row may come to anything: at least it takes nothing, at most its time limit.")


def _range(found: Range, form: str = ",d") -> str:
    least, most = found
    if most is None:
        return f"{least:{form}} or more"
    return f"{least:{form}}" if least == most else f"{least:{form}}-{most:{form}}"
