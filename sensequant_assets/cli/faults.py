"""A fault of the program or its machine: one line for a person, and a log with the traceback, both without secrets."""

import io
import os
import re
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values

from sensequant_assets import __version__
from sensequant_assets.settings import DOTENV, SECRETS, read_settings
from sensequant_assets.text import brief, printable_lines

DIRECTORY = "faults"
"""Where logs lie, below the data directory."""

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|_KEY\b|_KEY_|APIKEY|_PWD\b", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^\s:/@]*):[^\s@]+@")
_SHORTEST = 4
"""Characters below which a value is no secret, and would be found everywhere."""
_SHOWN = 300
_HIDDEN = "***"


def describe(error: BaseException) -> str:
    """One line that says what was raised, without secrets."""
    text = " ".join(without_secrets(str(error)).split())
    return f"{type(error).__name__}: {brief(text, _SHOWN)}" if text else type(error).__name__


def write_log(error: BaseException) -> Path | None:
    """Write the traceback of a fault to a file of its own.

    Returns
    -------
    Path or None
        In the data directory, else among the temporary files; None where neither can be written.
    """
    now = datetime.now(UTC)
    head = f"sensequant {__version__}, {now:%Y-%m-%d %H:%M:%S} UTC\n"
    text = head + printable_lines(without_secrets("".join(traceback.format_exception(error))))
    for directory in _directories():
        with suppress(OSError, ValueError):
            directory.mkdir(parents=True, exist_ok=True)
            # Made anew, and readable by its owner alone.
            number, name = tempfile.mkstemp(prefix=f"{now:%Y%m%d-%H%M%S}-", suffix=".log", dir=directory)
            with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123  # a descriptor
                file.write(text)
            return Path(name)
    return None


def without_secrets(text: str) -> str:
    """The text with every secret of the environment and `.env` hidden, and the password of every address."""
    # Longer ones first: one secret may begin another.
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _PASSWORD_IN_URL.sub(rf"\1:{_HIDDEN}@", text)


def _directories() -> Iterator[Path]:
    # Whatever is wrong may be wrong with the settings.
    with suppress(Exception):
        yield read_settings().data_dir.absolute() / DIRECTORY
    yield Path(tempfile.gettempdir())


def _secrets() -> Iterator[str]:
    for name, value in (*_dotenv().items(), *os.environ.items()):
        if not value or not (name.upper() in SECRETS or _SECRET_NAME.search(name) or "://" in value):
            continue
        parts = [value]
        with suppress(ValueError):
            address = urlsplit(value)
            if address.scheme and address.netloc:
                # An error may quote the path without its host, and the token lies in the path.
                rest = value.partition(address.netloc)[2]
                parts = [value if name.upper() in SECRETS else "", address.password or "", rest.strip("/")]
                parts += [unquote(part) for part in parts]
        yield from (part for part in parts if len(part) >= _SHORTEST)


def _dotenv() -> dict[str, str | None]:
    with suppress(OSError, ValueError):
        if DOTENV.is_file():
            return dotenv_values(stream=io.StringIO(DOTENV.read_text(errors="replace")))
    return {}
