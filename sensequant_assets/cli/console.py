"""The terminal: what is printed there is text and nothing else, whatever it quotes."""

from typing import Any, TextIO

import click
from rich.console import Console
from rich.text import Text

from sensequant_assets.text import printable


class _PlainConsole(Console):
    """Takes every string for plain text on one line; what is to have a style is a `Text`, made by `styled`."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    unwatched = False

    def on_broken_pipe(self) -> None:
        """Rich makes an exit of a reader that has gone; here it is an error, or nothing."""
        if not self.unwatched:
            raise  # Rich calls this where it handles the error
        self.quiet = True


def console(file: TextIO | None = None, *, width: int = 0, unwatched: bool = False) -> Console:
    """Make the console of a stream, standard output unless given.

    Parameters
    ----------
    file
        Where it prints.
    width
        Columns it has at least where it is no terminal: a pipe or file has no width of its own, and a table cut to 80
        columns helps nobody there.
    unwatched
        Whether to go on without a word when the reader has gone.
    """
    made = _PlainConsole(file=file, markup=False, emoji=False, highlight=False)
    made.unwatched = unwatched
    if not made.is_terminal:
        made.width = max(made.width, width)
    return made


def styled(text: object, style: str = "") -> Text:
    """Text from anywhere, on one line, in a style."""
    return Text(printable(text), style)


def say(text: object, *, err: bool = False) -> None:
    """Print a line, to standard error if `err`."""
    click.echo(printable(text), err=err)
