"""What a command posts to the webhook where nobody looks at its terminal."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sensequant_assets.errors import SenseQuantError, StoppedError, UsageError
from sensequant_assets.settings import Settings
from sensequant_assets.text import printable
from sensequant_assets.watch.notify import notify


@contextmanager
def alerting(wanted: bool, settings: Settings, command: str) -> Iterator[Callable[..., None]]:
    """Post what a person must know of a command, as sensors do: what it says so itself, and the error that ends it.

    Parameters
    ----------
    wanted
        Whether anything is to be posted.
    settings
        The webhook, and the universe that a message names.
    command
        Who posts.

    Yields
    ------
    callable
        Posts a message, with details as JSON values.

    Raises
    ------
    UsageError
        There is no webhook.
    """
    if wanted and settings.webhook_url is None:
        raise UsageError("--notify has nobody to tell: set SENSEQUANT_WEBHOOK_URL to an http or https address.")

    def tell(message: str, **details: Any) -> None:
        if wanted:
            text = {"command": command, "message": printable(message), "universe": settings.universe_name}
            notify(settings.webhook_url, text | details, logging.getLogger(__name__))

    try:
        yield tell
    except StoppedError:
        # Who stops it knows.
        raise
    except Exception as error:
        tell(str(error) if isinstance(error, SenseQuantError) else f"{type(error).__name__}: {error}")
        raise
