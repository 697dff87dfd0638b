"""`sensequant serve`: predictions over HTTP."""

import click

from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.serving import content_of
from sensequant_assets.cli.addresses import LOOPBACK, is_open, listening, url_of, warn_if_open
from sensequant_assets.cli.console import say
from sensequant_assets.cli.interrupts import end_without_answer
from sensequant_assets.cli.options import Number, known_batch, settings_of, telemetry_store
from sensequant_assets.cli.predict import standing_of
from sensequant_assets.errors import UsageError
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.service.current import Current, Renewal
from sensequant_assets.text import counted, json_text

_NEEDS = "`sensequant serve` needs FastAPI, uvicorn and prometheus_client: pip install 'sensequant-assets[serve]'."


@click.command()
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on; any other is open to others.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="Port; 0 is a free one.")
@click.option("--unproven", is_flag=True, help="Of the latest batch, which nobody has promoted.")
@click.option("--batch", "batch_id", metavar="ID", help="Of this batch, which nobody has promoted.")
@click.option(
    "--look-every", type=Number(0.1, 86_400), default=10.0, show_default=True, metavar="S",
    help="Seconds between two looks for other bars or another champion.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Say as a JSON object where it listens.")
def serve(host: str, port: int, unproven: bool, batch_id: str | None, look_every: float, as_json: bool) -> None:
    """Answer over HTTP with the predictions of the champion.

    GET /predict has the whole universe from its newest bars, POST /predict some symbols or given features; /health,
    /champion, /metrics (Prometheus) and /openapi.json say the rest. Other bars and another champion are read in the
    background. It asks for no password, so it listens to this machine alone unless --host names another address.

    \b
    sensequant serve
    sensequant serve --port 9000 --unproven
    curl -s localhost:8000/predict
    """
    try:
        import uvicorn

        from sensequant_assets.service.app import app_of
    except ImportError as error:
        raise UsageError(f"{_NEEDS} ({error})") from error
    with listening(host, port) as listener:
        renewal = _renewal(unproven, batch_id)
        url = url_of(listener)
        warn_if_open(listener, "ask")
        current = renewal.current
        if as_json:
            click.echo(json_text({"url": url, **current.about}))
        else:
            say(
                f"{counted(len(current.rows), 'symbol')} on {url}: {current.standing.title}, bars of "
                f"{current.forecasts.day}. Ctrl-C ends it."
            )
        renewal.start(look_every)
        app = app_of(renewal, ["*"] if is_open(listener) else ["localhost", listener.getsockname()[0], host])
        # It has handlers of its own, and waits for answers that are under way.
        end_without_answer()
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")).run([listener])


def _renewal(unproven: bool, batch_id: str | None) -> Renewal:
    settings, telemetry = settings_of({}, remembered=True), telemetry_store()
    champions = ChampionStore(settings.champions_dir, settings.universe_name)
    promoted = not unproven and batch_id is None
    if not promoted:
        # Which batch is the latest is asked once: what is unproven changes for nobody who asks.
        batch_id = known_batch(telemetry, batch_id)
    market = settings if promoted or batch_id is None else Subject.of_batch(telemetry, batch_id).settings
    return Renewal(
        lambda: Current.read(lambda: standing_of(settings, telemetry, batch_id, unproven=unproven), champions),
        content_of(market, champions if promoted else None),
        lambda line: say(line, err=True),
    )
