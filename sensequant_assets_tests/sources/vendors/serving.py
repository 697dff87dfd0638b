"""A vendor on the loopback: it has what a test gives it, and every fault that vendors have."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """A status and a body, of which no more than `sent` bytes are sent."""

    body: bytes = b""
    status: int = 200
    sent: int | None = None


@dataclass
class Vendor:
    """Replies by path, each given once but for the last; anything else is not found, as an HTML page.

    `asked` has the paths, `told` what stands behind each, the headers and the body.
    """

    port: int = 0
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    told: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/t0ken"

    def has(self, path: str, *replies: Reply) -> None:
        self.replies[path] = list(replies)

    def reply(self, path: str) -> Reply:
        self.asked.append(path)
        left = self.replies.get(path, [Reply(b"<html>Resource not found</html>", 404)])
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving() -> Iterator[Vendor]:
    """Serve until the end of the block."""
    vendor = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            vendor.told.append((parts.query, dict(self.headers), body))
            reply = vendor.reply(parts.path.removeprefix("/t0ken/"))
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(reply.body[: reply.sent])
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    vendor.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
