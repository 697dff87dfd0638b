"""Tell a person: one JSON message posted to a webhook."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from sensequant_assets.text import printable

TIMEOUT_S = 5.0


def notify(url: SecretStr | None, message: Mapping[str, Any], log: logging.Logger) -> bool:
    """Post a message; whatever goes wrong is logged and costs nothing else.

    Parameters
    ----------
    url
        The webhook (`SENSEQUANT_WEBHOOK_URL`); it often carries a token and is never logged, but for its host. None
        for no notifications.
    message
        What to post, as JSON.
    log
        Where a failure is told.

    Returns
    -------
    bool
        Whether the webhook took it.
    """
    if url is None:
        return False
    secret = url.get_secret_value()
    try:
        parts = urlsplit(secret)
        host = parts.hostname
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        log.warning("Nobody was notified: SENSEQUANT_WEBHOOK_URL is no http or https address.")
        return False
    try:
        request = urllib.request.Request(  # noqa: S310  # the scheme is checked above
            secret, json.dumps(_shown(message)).encode(), {"Content-Type": "application/json"}
        )
        with _opener().open(request, timeout=TIMEOUT_S) as response:
            response.read(1)
    except urllib.error.HTTPError as error:
        log.warning("The webhook at %s refused a notification with status %d.", host, error.code)
        return False
    except Exception as error:  # noqa: BLE001  # its text may hold the address
        log.warning("The webhook at %s could not be notified: %s.", host, type(error).__name__)
        return False
    return True


def _shown(value: object) -> object:
    """A message that shows what cannot be printed, for a reader who may print it anywhere."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {printable(name): _shown(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return printable(value)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the message, and the token of its address, to somebody else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)
