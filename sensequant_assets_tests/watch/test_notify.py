"""Claims about notifications, against a server on the loopback."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sensequant_assets.text import printable
from sensequant_assets.watch import notify as module
from sensequant_assets.watch.notify import notify
from sensequant_assets_tests.test_text import NASTY

LOG = logging.getLogger("sensequant.test_notify")
SECRET = "s3cret-t0ken"  # noqa: S105  # it opens nothing


@dataclass
class Webhook:
    """A server that keeps what is posted to it and answers with `status`."""

    port: int = 0
    status: int = 204
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    hang: threading.Event | None = None

    @property
    def url(self) -> SecretStr:
        return SecretStr(f"http://user:{SECRET}@127.0.0.1:{self.port}/services/{SECRET}?token={SECRET}")


@contextmanager
def serving() -> Iterator[Webhook]:
    """A webhook that answers."""
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if found.hang is not None:
                found.hang.wait()
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    if found.hang is not None:
        found.hang.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving() as found:
        yield found


def plain(webhook: Webhook) -> SecretStr:
    """Its address without a user, as urllib takes it."""
    return SecretStr(f"http://127.0.0.1:{webhook.port}/services/{SECRET}?token={SECRET}")


def test_a_message_arrives_as_json(webhook: Webhook) -> None:
    assert notify(plain(webhook), {"sensor": "new_bars", "batch": "b1", "failed": 3}, LOG)
    assert webhook.received == [{"sensor": "new_bars", "batch": "b1", "failed": 3}]


def test_a_message_shows_what_cannot_be_printed(webhook: Webhook) -> None:
    path = Path(NASTY.replace("\0", ""))
    assert notify(plain(webhook), {"message": NASTY, "problems": [NASTY], "of": {NASTY: path}}, LOG)
    shown = printable(NASTY)
    assert webhook.received == [{"message": shown, "problems": [shown], "of": {shown: printable(path)}}]


def test_without_a_webhook_nobody_is_told_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert not notify(None, {"a": 1}, LOG)
    assert caplog.text == ""


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_refusal_is_logged_without_the_secret(
    webhook: Webhook, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    webhook.status = status
    assert not notify(plain(webhook), {"a": 1}, LOG)
    assert f"The webhook at 127.0.0.1 refused a notification with status {status}." in caplog.text
    assert SECRET not in caplog.text


def test_a_redirect_is_not_followed(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    webhook.status, webhook.headers = 302, {"Location": f"http://127.0.0.1:{webhook.port}/elsewhere"}
    assert not notify(plain(webhook), {"a": 1}, LOG)
    assert len(webhook.received) == 1
    assert SECRET not in caplog.text


def test_a_webhook_that_does_not_answer_is_given_up(
    webhook: Webhook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook.hang = threading.Event()
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    assert not notify(plain(webhook), {"a": 1}, LOG)
    assert "could not be notified" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/{SECRET}",
        f"http://user:{SECRET}@127.0.0.1:1/",
        f"file:///etc/{SECRET}",
        f"ftp://example.org/{SECRET}",
        f"http://[{SECRET}",
        f"http://127.0.0.1:{SECRET}/",
        f"{SECRET} with spaces",
        "",
    ],
)
def test_an_address_that_cannot_be_reached_is_logged_without_the_secret(
    caplog: pytest.LogCaptureFixture, url: str
) -> None:
    assert not notify(SecretStr(url), {"a": 1}, LOG)
    assert caplog.text
    assert SECRET not in caplog.text
