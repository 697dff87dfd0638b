"""Questions over HTTP: one at a time, not too fast, and again where that can help.

Statuses 429 and 5xx, broken connections and bodies shorter than announced are asked again by urllib3, which waits for
as long as the vendor asks, at most a minute, or ever longer. No sentence quotes an address, which may hold a token.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import IncompleteRead
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import exceptions as raised

from sensequant_assets import __version__

_TRIES = 4
_LONGEST_WAIT_S = 60
_CONNECT_S, _READ_S = 10.0, 60.0
_AGAIN = (429, 500, 502, 503, 504)
# Exchanges refuse programs that do not say that they are something like a browser.
_HEADERS = {"User-Agent": f"Mozilla/5.0 (compatible; sensequant-assets/{__version__})", "Accept": "*/*"}

_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (raised.NameResolutionError, "its name is not known"),
    (raised.NewConnectionError, "nobody answers there"),
    (raised.ConnectTimeoutError, "it does not answer in time"),
    (raised.ProxyError, "the proxy does not let it through"),
    (raised.SSLError, "its certificate or its encryption is not to be relied on"),
    (raised.ReadTimeoutError, "the answer did not come in time"),
    (IncompleteRead, "the answer broke off"),
    (raised.ProtocolError, "the connection broke off"),
)
_UNREACHED = (raised.NewConnectionError, raised.ConnectTimeoutError, raised.ProxyError, raised.SSLError)


class NoAnswerError(Exception):
    """A question has no answer; `reached` says whether anybody was there."""

    def __init__(self, why: str, *, reached: bool) -> None:
        super().__init__(why)
        self.reached = reached


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a whole body."""

    status: int
    body: bytes


class Line:
    """A line to one vendor.

    Parameters
    ----------
    address
        Before every path; it may hold a token.
    pause_s
        Seconds between two questions at least; the first repetition waits twice as long.
    clock, sleep
        Seconds from anywhere, and how to wait.
    headers
        What each question carries besides; asked for before the first one.
    busy
        Whether an answer says that this minute has had its questions, whatever its status.
    """

    def __init__(
        self,
        address: str,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        headers: Callable[[], Mapping[str, str]] = dict,
        busy: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._address = address.rstrip("/")
        self._more, self._busy = headers, busy
        self._pause_s, self._clock, self._sleep = pause_s, clock, sleep
        self._next = clock()
        # It warns of each repetition, with the address.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._pool = _pool(self._address)
        self._retries = urllib3.Retry(
            total=_TRIES,
            redirect=2,
            status_forcelist=_AGAIN,
            backoff_factor=2 * pause_s,
            backoff_max=_LONGEST_WAIT_S,
            retry_after_max=_LONGEST_WAIT_S,
            raise_on_status=False,
            raise_on_redirect=False,
        )

    @property
    def host(self) -> str:
        """Whom it leads to, for a sentence."""
        return urlsplit(self._address).hostname or "the vendor"

    def ask(self, path: str, body: bytes | None = None) -> Answer:
        """The answer at a path below the address; `body` goes with the question.

        Raises
        ------
        NoAnswerError
            There is none, or none that is whole, after all repetitions.
        """
        headers = _HEADERS | dict(self._more()) | ({"Content-Type": "application/json"} if body else {})
        for _ in range(_TRIES):
            answer = self._asked(path, body, headers)
            if not self._busy(answer.body):
                break
            self._sleep(_LONGEST_WAIT_S)
        return answer

    def _asked(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        self._sleep(max(0.0, self._next - self._clock()))
        try:
            response = self._pool.request(
                "GET", f"{self._address}/{path}", body=body, headers=headers, retries=self._retries
            )
        except raised.HTTPError as error:
            why = error.reason if isinstance(error, raised.MaxRetryError) and error.reason else error
            raise NoAnswerError(_words(why), reached=not isinstance(why, _UNREACHED)) from None
        finally:
            self._next = self._clock() + self._pause_s
        return Answer(response.status, response.data)


def _pool(address: str) -> urllib3.PoolManager:
    parts = urlsplit(address)
    timeout = urllib3.Timeout(connect=_CONNECT_S, read=_READ_S)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, headers=_HEADERS, timeout=timeout)
    return urllib3.PoolManager(headers=_HEADERS, timeout=timeout)


def _words(error: BaseException) -> str:
    causes = list(_causes(error))
    for kind, words in _WORDS:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those it was raised for, which urllib3 hands on as arguments."""
    yield error
    for cause in error.args:
        if isinstance(cause, BaseException):
            yield from _causes(cause)
