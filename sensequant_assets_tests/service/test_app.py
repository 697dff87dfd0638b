"""Claims about what the service answers, asked without a network."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from sensequant_assets.service.app import MOST_ROWS, app_of
from sensequant_assets.service.current import Renewal
from sensequant_assets_tests.service.small import Answer, current_of, standing_in

Ask = Callable[..., tuple[int, Any]]


def asker(app: FastAPI) -> Ask:
    """Asks an app: method, path and body; gives status and answer."""

    def ask(method: str, path: str, body: object = None, host: str = "localhost") -> tuple[int, Any]:
        sent: list[Any] = []
        written = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = [(b"host", host.encode()), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "headers": headers, "scheme": "http", "root_path": "",
            "server": ("localhost", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": written, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        text = b"".join(one.get("body", b"") for one in sent[1:])
        kind = dict(sent[0]["headers"]).get(b"content-type", b"")
        return sent[0]["status"], json.loads(text) if kind == b"application/json" else text.decode()

    return ask


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    current = current_of(standing_in(tmp_path_factory.mktemp("champion")))
    return asker(app_of(Renewal(lambda: current, lambda: "", print), ["localhost"]))


def test_the_whole_universe_is_one_answer(ask: Ask) -> None:
    status, answer = ask("GET", "/predict")
    assert status == 200
    assert [row["symbol"] for row in answer["predictions"]] == ["AAA", "BBB"]
    assert answer["missing"] == {"CCC": "CCC has no bars."}


def test_some_symbols_are_answered_in_the_order_asked_and_none_is_dropped(ask: Ask) -> None:
    _, whole = ask("GET", "/predict")
    status, answer = ask("POST", "/predict", {"symbols": ["BBB", "CCC", "AAA", "ZZZ"]})
    assert status == 200
    assert answer["predictions"] == [whole["predictions"][1], whole["predictions"][0]]
    assert answer["missing"] == {"CCC": "CCC has no bars.", "ZZZ": "ZZZ is not in the universe."}


def test_given_features_are_answered_and_say_that_they_were_given(ask: Ask) -> None:
    asked = {"symbols": ["AAA", "AAA", "BBB", "NEW"], "features": [[0.1, 0.2], [90, 90], [0.1, None], [0.1, 0.2]]}
    status, answer = ask("POST", "/predict", asked)
    assert status == 200
    rows: list[Answer] = answer["predictions"]
    assert [row["symbol"] for row in rows] == asked["symbols"]
    assert [row["flags"] for row in rows] == [["given"], ["given", "out of range"], ["given", "fallback"], ["given"]]
    assert [row["distance"] is None for row in rows] == [False, False, True, False]
    assert rows[0]["p"] == ask("GET", "/predict")[1]["predictions"][0]["p"]
    assert {row["time"] for row in rows} == {None}


def test_the_unproven_say_so_in_every_row_and_whom_nobody_serves_is_named(tmp_path: Path) -> None:
    current = current_of(standing_in(tmp_path, ("AAA", "BBB"), champion=None))
    ask = asker(app_of(Renewal(lambda: current, lambda: "", print), ["localhost"]))
    for answer in (
        ask("GET", "/predict")[1],
        ask("POST", "/predict", {"symbols": ["AAA"]})[1],
        ask("POST", "/predict", {"symbols": ["AAA", "CCC"], "features": [[0, 0], [1, 1]]})[1],
    ):
        assert answer["unproven"]
        assert answer["serving"] == "unproven students of batch b1, which nobody has promoted"
        assert all(row["unproven"] and row["champion"] is None for row in answer["predictions"])
    assert answer["missing"] == {"CCC": "CCC has no student in any window."}
    assert ask("GET", "/health")[1]["unproven"]
    assert "sensequant_unproven 1.0" in ask("GET", "/metrics")[1]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "JSON"),
        ({}, "symbols"),
        ({"symbols": []}, "symbols"),
        ({"symbols": ["AAA"] * (MOST_ROWS + 1)}, "at most"),
        ({"symbols": ["AAA"], "feature": []}, "feature"),
        ({"symbols": ["AAA"], "features": []}, "give each one row of 2 features"),
        ({"symbols": ["AAA"], "features": [[1, 2, 3]]}, "give each one row of 2 features"),
        ({"symbols": ["AAA", "BBB"], "features": [[1, 2], [1]]}, "give each one row of 2 features"),
        (b'{"symbols": ["AAA"], "features": [[NaN, "x"]]}', "number"),
        (b'{"symbols": ["AAA"], "features": [[Infinity, 1]]}', "number"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_in_a_sentence(ask: Ask, body: object, why: str) -> None:
    status, answer = ask("POST", "/predict", body)
    assert status == 422
    assert why in answer["detail"]


def test_health_tells_when_a_change_could_not_be_read(tmp_path: Path) -> None:
    current, content = current_of(standing_in(tmp_path)), ["one"]
    reads = iter([current])
    renewal = Renewal(lambda: next(reads), lambda: content[0], lambda line: None)
    ask = asker(app_of(renewal, ["localhost"]))
    assert ask("GET", "/health")[1]["status"] == "ok"
    content[0] = "two"
    renewal.look()
    status, answer = ask("GET", "/health")
    assert (status, answer["status"], answer["problem"]) == (200, "behind", "StopIteration()")
    assert "sensequant_behind 1.0" in ask("GET", "/metrics")[1]
    assert ask("GET", "/predict")[0] == 200


def test_the_champion_is_told_with_the_columns_that_it_knows(ask: Ask) -> None:
    _, answer = ask("GET", "/champion")
    assert (answer["champion"], answer["feature_names"], answer["symbols"]) == (3, ["first", "second"], ["AAA", "BBB"])


def test_metrics_count_answers_by_path_and_status_and_nobody_makes_names(ask: Ask) -> None:
    ask("GET", "/predict")
    ask("POST", "/predict", {})
    for number in range(3):
        assert ask("GET", f"/{number}")[0] == 404
    text = ask("GET", "/metrics")[1]
    assert re.search(r'sensequant_requests_total\{method="GET",path="/predict",status="200"\} \d', text)
    assert re.search(r'sensequant_requests_total\{method="POST",path="/predict",status="422"\} \d', text)
    assert re.search(r'sensequant_requests_total\{method="other",path="other",status="404"\} [3-9]', text)
    assert 'sensequant_flagged{flag="out of range"} 1.0' in text
    assert "/0" not in text
    assert "_created" not in text


def test_a_page_of_another_site_gets_no_answer(ask: Ask) -> None:
    assert ask("GET", "/predict", host="evil.example")[0] == 400


def test_the_schema_describes_every_question_and_is_shown_by_no_third_party(ask: Ask) -> None:
    status, schema = ask("GET", "/openapi.json")
    assert status == 200
    assert sorted(schema["paths"]) == ["/champion", "/health", "/metrics", "/predict"]
    assert sorted(schema["paths"]["/predict"]) == ["get", "post"]
    assert "p_raw" in schema["components"]["schemas"]["Predicted"]["properties"]
    assert ask("GET", "/docs")[0] == 404


def test_answers_have_the_shape_that_the_schema_tells(ask: Ask) -> None:
    _, schema = ask("GET", "/openapi.json")
    shapes = {name: set(one["properties"]) for name, one in schema["components"]["schemas"].items()}
    _, answer = ask("GET", "/predict")
    assert set(answer) == shapes["Answer"]
    assert {frozenset(row) for row in answer["predictions"]} == {frozenset(shapes["Predicted"])}
    _, given = ask("POST", "/predict", {"symbols": ["AAA"], "features": [[np.pi, 1]]})
    assert set(given["predictions"][0]) == shapes["Predicted"]
    for path, shape in (("/health", "Health"), ("/champion", "Served")):
        assert set(ask("GET", path)[1]) == shapes[shape]
