"""Where the servers of the command line listen."""

import ipaddress
import os
import socket

from sensequant_assets.cli.console import say
from sensequant_assets.errors import UsageError

LOOPBACK = "127.0.0.1"
"""The address of this machine alone, which servers listen on unless another is named."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises
    ------
    UsageError
        The address is none of this machine's, or the port is taken or not allowed.
    """
    try:
        host.encode("idna")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        # A name that nobody knows has a number of its own; of an address in use Python says the address again.
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
        raise UsageError(f"Nobody can listen on {host}, port {port}: {why}. Give another --host or --port.") from error


def url_of(listener: socket.socket) -> str:
    """Address of what listens, as a browser takes it."""
    address, port = listener.getsockname()[:2]
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def is_open(listener: socket.socket) -> bool:
    """Whether others than this machine can reach it."""
    return not ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def warn_if_open(listener: socket.socket, what: str) -> None:
    """Say it where others than this machine can reach what listens, and what they can do then."""
    if is_open(listener):
        say(f"Everybody who reaches {url_of(listener)} can {what}: there is no password.", err=True)
