"""Claims about `sensequant serve` as a process that is asked over HTTP, and about the same in a notebook."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import urllib3

import sensequant_assets
from sensequant_assets import load_champions
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.serving import served_by_subject
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import Champion, ChampionStore
from sensequant_assets.models.pack import write_pack
from sensequant_assets.models.store import ModelStore
from sensequant_assets.telemetry.questions.batches import batch_ids
from sensequant_assets_tests.models.test_champions import challenger, forecasts
from sensequant_assets_tests.running import Home, leave, sample_bars, until, write_universe

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
REQUESTS = 200


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A batch on the bars of files, whose students nobody has promoted."""
    directory = tmp_path_factory.mktemp("serving")
    variables = {
        "SENSEQUANT_BARS": str(sample_bars(directory / "bars", until="2010-12-31")),
        "SENSEQUANT_UNIVERSE": str(write_universe(directory / "four.csv")),
        "SENSEQUANT_END": "2010-06-25",
    }
    home = Home(directory, variables)
    finished = home.backfill()
    assert finished.code == 0, finished.err
    return home


def promoted(home: Home) -> Champion:
    """The students of its batch, promoted without a look at them."""
    subject = Subject.of_batch(home.telemetry, batch_ids(home.telemetry)[0])
    market = Market.open(subject.settings, subject.teacher, subject.student)
    serving = served_by_subject(subject, market, ModelStore(home.data / "models", "four"))
    settings = {"batch_id": subject.batch_id, "market": subject.settings.market, "scope": "symbol"}
    parameters = {"teacher": subject.teacher.model_dump(), "student": subject.student.model_dump()}
    wanted = challenger("").model_copy(update={**settings, "parameters": parameters, "missing": {}})
    store = ChampionStore(home.data / "champions", "four")
    current = store.current()
    return store.promote(
        wanted,
        lambda path: write_pack(path, serving.served, serving.references, serving.feature_names),
        forecasts(),
        against=current.version if current else None,
    )


class Service:
    """A running `sensequant serve`."""

    def __init__(self, process: Any) -> None:
        assert process.stdout is not None
        self.process, self.http = process, urllib3.PoolManager(retries=False, maxsize=8)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        self.said: dict[str, Any] = json.loads(line)

    def get(self, path: str) -> Any:
        answer = self.http.request("GET", self.said["url"] + path)
        assert answer.status == 200, answer.data
        return answer.json()

    def post(self, **body: Any) -> Any:
        answer = self.http.request("POST", self.said["url"] + "/predict", json=body)
        assert answer.status == 200, answer.data
        return answer.json()


@contextmanager
def serving(home: Home, *arguments: str) -> Iterator[Service]:
    """A service on a free port; at the end it is interrupted, as a person does it."""
    process = home.start("serve", "--port", "0", "--json", "--look-every", "0.1", *arguments, stdout=None)
    try:
        yield Service(process)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err


@pytest.fixture
def own(home: Home, tmp_path: Path) -> Home:
    """A copy with bars that may change, whose students are champions."""
    shutil.copytree(home.data, tmp_path / "data")
    shutil.copytree(home.directory / "bars", tmp_path / "bars")
    shutil.copy(home.directory / "four.csv", tmp_path)
    paths = {"SENSEQUANT_BARS": str(tmp_path / "bars"), "SENSEQUANT_UNIVERSE": str(tmp_path / "four.csv")}
    copied = Home(tmp_path, home.variables | paths)
    promoted(copied)
    return copied


def test_the_universe_is_answered_by_many_at_once_as_predict_answers_it(own: Home) -> None:
    finished = own.run("predict", "--json")
    predicted = [json.loads(line) for line in finished.out.splitlines()]
    with serving(own) as service:
        assert (service.said["champion"], service.said["unproven"]) == (1, False)
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(service.get, ["/predict"] * REQUESTS))
        assert all(answer == answers[0] for answer in answers)
        for said, row in zip(answers[0]["predictions"], predicted, strict=True):
            assert {**said, "made_at": ""} == {**row, "made_at": ""}
        assert service.get("/champion")["record"]["batch_id"] == service.said["batch_id"]
        text = service.http.request("GET", service.said["url"] + "/metrics").data.decode()
        assert f'sensequant_requests_total{{method="GET",path="/predict",status="200"}} {REQUESTS}.0' in text


def test_other_bars_and_another_champion_are_answered_from_without_a_restart(own: Home) -> None:
    with serving(own) as service:
        assert service.get("/health")["day"] == "2010-12-31"
        (own.directory / "bars" / "IBM.csv").write_text("no bars\n")
        until(lambda: len(service.get("/predict")["missing"]) == 1, "a look at the damage")
        assert list(service.get("/predict")["missing"]) == ["IBM"]
        sample_bars(own.directory / "bars", until="2011-01-07")
        until(lambda: service.get("/health")["day"] == "2011-01-07", "a look at the bars")
        assert promoted(own).version == 2
        until(lambda: service.get("/champion")["champion"] == 2, "a look at the champion")
        ChampionStore(own.data / "champions", "four").path.write_text("{}")
        until(lambda: service.get("/health")["status"] == "behind", "a look at the record")
        assert "champions.json" in service.get("/health")["problem"]
        assert service.get("/predict")["champion"] == 2


def test_students_that_nobody_has_promoted_are_served_when_asked_for_and_say_so(home: Home) -> None:
    refused = home.run("serve", "--port", "0")
    assert refused.code == 2
    assert "Universe four has no champion" in refused.err
    assert "--unproven" in refused.err
    with serving(home, "--unproven") as service:
        answer = service.post(symbols=["IBM", "NOBODY"])
        assert service.said["unproven"]
        assert answer["unproven"]
        assert [row["unproven"] for row in answer["predictions"]] == [True]
        assert answer["missing"] == {"NOBODY": "NOBODY is not in the universe."}
        names = service.get("/champion")["feature_names"]
        given = service.post(symbols=["IBM"], features=[[0.0] * len(names)])
        assert given["predictions"][0]["flags"][0] == "given"
        assert service.get("/openapi.json")["info"]["version"] == sensequant_assets.__version__


def test_this_machine_alone_is_answered_unless_another_address_is_named(home: Home) -> None:
    with serving(home, "--unproven") as service:
        assert service.said["url"].startswith("http://127.0.0.1:")
        taken = home.run("serve", "--unproven", "--port", service.said["url"].rpartition(":")[2])
    assert taken.code == 2
    assert "Nobody can listen on 127.0.0.1, port" in taken.err
    assert "Address already in use. Give another --host or --port." in taken.err
    unknown = home.run("serve", "--unproven", "--port", "0", "--host", "no.such.host.invalid")
    assert unknown.code == 2
    assert "Give another --host or --port." in unknown.err
    process = home.start("serve", "--port", "0", "--json", "--unproven", "--host", "0.0.0.0", stdout=None)  # noqa: S104
    service = Service(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert f"Everybody who reaches {service.said['url']} can ask: there is no password." in err


def test_a_notebook_is_told_what_the_service_says(own: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, own.directory)
    for name, value in own.variables.items():
        monkeypatch.setenv(name, value)
    champions = load_champions()
    assert repr(champions).startswith("<champion 1, batch ")
    found = champions.predict()
    assert list(found.index) == list(SYMBOLS)
    assert found["time"].max() == pd.Timestamp("2010-12-31")
    finished = own.run("predict", "--json")
    assert found["p"].tolist() == [json.loads(line)["p"] for line in finished.out.splitlines()]
    earlier = champions.predict("2010-06-30")
    assert earlier["time"].max() == pd.Timestamp("2010-06-30")
    features = champions.features()
    given = champions.predict(features[features.columns[::-1]])
    np.testing.assert_array_equal(given["p"], found["p"])
    assert [flags[0] for flags in given["flags"]] == ["given"] * 4
    (own.directory / "bars" / "IBM.csv").unlink()
    missing = load_champions().predict()
    assert missing["p"].isna().tolist() == [symbol == "IBM" for symbol in SYMBOLS]
    assert "IBM" in missing.loc["IBM", "why"]
    with pytest.raises(UsageError, match="The features lack return_1"):
        champions.predict(features.drop(columns="return_1"))
    with pytest.raises(UsageError, match="is no day"):
        champions.predict("tomorrow")


def test_the_package_imports_nothing_for_a_notebook_that_does_not_ask() -> None:
    script = "import sys, sensequant_assets; print(len([m for m in sys.modules if m.startswith('sensequant_assets')]))"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.stdout == "1\n", finished.stderr
    with pytest.raises(AttributeError, match="has no attribute 'load_champion'"):
        sensequant_assets.load_champion  # noqa: B018
