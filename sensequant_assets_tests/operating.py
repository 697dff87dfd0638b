"""A bars directory that grows, and the sensors that watch it, as the daemon runs them but one tick at a time."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.defs.location import build_definitions
from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
from sensequant_assets.settings import Settings, read_settings
from sensequant_assets.sources.sample import sample_table
from sensequant_assets.telemetry.questions.windows import outcomes
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import instance_of, leave, write_universe

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
TEACHER, STUDENT = TeacherParameters(scope="symbol", n_estimators=10), StudentParameters(scope="symbol", n_estimators=5)
UNTIL = date(2009, 11, 16)
"""Last day of the bars at first: a Monday in the second of the windows `WINDOWS`, of which the third has no bars."""
WINDOWS = ("2009-01-01", "2009-06-30", "2009-12-27")
END = date(2010, 6, 25)
CHECK_KEY = dg.AssetCheckKey(dg.AssetKey("teacher_models"), "max_failure_rate")

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def history(symbol: str) -> pd.DataFrame:
    """Bars of the sample from 2008."""
    stocks = sample_table()
    table = stocks[(stocks["ticker"] == symbol) & (stocks["date"] >= "2008-01-01")]
    return table.drop(columns="ticker").assign(date=table["date"].astype(str))


def write_history(directory: Path, symbols: Sequence[str] = SYMBOLS, until: date = UNTIL) -> Path:
    """One CSV file a symbol with its bars up to a day."""
    directory.mkdir(parents=True, exist_ok=True)
    for symbol in symbols:
        table = history(symbol)
        table[table["date"] <= str(until)].to_csv(directory / f"{symbol}.csv", index=False)
    return directory


def new_days(symbols: Sequence[str], count: int = 5, after: date = UNTIL) -> pd.DataFrame:
    """The next bars of several symbols, with a column of symbols."""
    tables = [history(symbol).assign(symbol=symbol) for symbol in symbols]
    return pd.concat([table[table["date"] > str(after)].head(count) for table in tables])


@dataclass
class Office:
    """A market on a bars directory, its definitions, and an instance: the daemon's work by hand.

    Parameters
    ----------
    settings
        Of the market.
    instance
        A real Dagster instance.
    """

    settings: Settings
    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)

    @property
    def bars(self) -> Path:
        """The bars directory."""
        return Path(self.settings.bars)

    @property
    def telemetry(self) -> TelemetryStore:
        """Its telemetry."""
        return TelemetryStore(self.settings.data_dir / "telemetry")

    @property
    def definitions(self) -> dg.Definitions:
        """As the code location loads them."""
        return build_definitions(self.settings, TEACHER, STUDENT)

    def look(self, sensor: str) -> Any:
        """Evaluate a sensor without doing what it asks for, as a daemon that is killed right after."""
        definitions = self.definitions
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(sensor), definitions=definitions, sensor_name=sensor
        ) as context:
            return definitions.resolve_sensor_def(sensor).evaluate_tick(context)

    def tick(self, sensor: str) -> Any:
        """Evaluate a sensor, add its partitions, keep its cursor and run what it asks for, each run key once."""
        found = self.look(sensor)
        self.cursors[sensor] = found.cursor
        for request in found.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        for request in found.run_requests or ():
            if not self.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": request.run_key})):
                self.run(request)
        return found

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run a request in this process."""
        return self.train(request.run_config["ops"]["models"]["config"], request.run_config, {
            **request.tags, "dagster/run_key": str(request.run_key)
        })  # fmt: skip

    def train(
        self, config: dict[str, Any], run_config: Mapping[str, Any] | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run the training job."""
        names = symbol_partitions(self.settings.universe.stem)
        add_symbols(self.instance, names, SYMBOLS)
        return self.definitions.resolve_job_def("training").execute_in_process(
            instance=self.instance,
            tags=tags,
            run_config=_QUIET | {**(run_config or {}), "ops": {"models": {"config": config}}},
            raise_on_error=False,
        )

    def rows(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of telemetry."""
        rows: list[dict[str, Any]] = self.telemetry.query(sql, list(parameters)).to_pylist()
        return rows

    def outcomes(self, batch: str, model: str = "teacher") -> dict[str, str]:
        """Outcome by pair of a batch's latest attempts."""
        return {"|".join(key): outcome for key, outcome in outcomes(self.telemetry, batch, model).items()}


def office_settings(directory: Path, **changed: Any) -> dict[str, Any]:
    """Settings of a market of the four symbols on a bars directory below `directory`."""
    return {
        "data_dir": directory / "data",
        "universe": write_universe(directory / "four.csv", SYMBOLS),
        "bars": str(write_history(directory / "bars")),
        "end": END,
        **changed,
    }


@contextmanager
def opened(directory: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Iterator[Office]:
    """An office in a directory, with an instance of its own."""
    leave(monkeypatch, directory)
    settings = read_settings(office_settings(directory, workers=1, **changed))
    with instance_of(settings) as instance:
        yield Office(settings, instance)


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on the loopback that keeps what is posted to it."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # its base class calls it so
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?token=s3cret", received
    finally:
        server.shutdown()
        server.server_close()


def evaluations(office: Office, check: str = CHECK_KEY.name, asset: str = "teacher_models") -> list[Any]:
    """What a check of the teachers, or of another asset, was told, newest first."""
    records = office.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(asset), check), limit=10
    )
    return [record.event.dagster_event.asset_check_evaluation_data for record in records if record.event]
