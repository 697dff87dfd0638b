"""Text from outside, made fit for where it goes: a line on a terminal or in a log, JSON, Markdown, a file's name.

A cell of a file, a path or a row of telemetry may hold anything: sequences that a terminal obeys, marks that turn the
reading direction, line breaks that pass for a line of ours. What is printed, logged, shown in a page or sent goes
through here, and what is computed with or stored does not.
"""

import hashlib
import json
import re


def printable(text: object) -> str:
    """Show text on one line: what cannot be printed, line breaks included, stands there as Python escapes it.

    Examples
    --------
    >>> printable("AAPL\\x1b[2J")
    'AAPL\\\\x1b[2J'
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in plain)


def printable_lines(text: str) -> str:
    """Show text whose line breaks are ours, such as a traceback or a drawing; within a line as `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def brief(text: object, most: int = 100) -> str:
    """Quote no more of a text than a person reads."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[:most]}..."


def counted(number: int, noun: str) -> str:
    """How many of something there are, such as `1 row` or `1,200 rows`."""
    return f"{number:,} {noun}{'s'[number == 1 :]}"


def json_text(value: object, *, indent: int | None = None) -> str:
    """Write JSON that reads as the same value and has nothing in its texts that cannot be printed."""
    written = json.dumps(value, ensure_ascii=False, indent=indent)
    # Within texts JSON itself escapes line breaks; those of an indent stand between them.
    if written.replace("\n", "").isprintable():
        return written
    return "".join(char if char.isprintable() or char == "\n" else _json_escape(char) for char in written)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def markdown_text(text: object) -> str:
    """Show text on one line of Markdown as it is: no emphasis, link, image, table, code or HTML comes of it.

    Examples
    --------
    >>> markdown_text("*AAPL* <b> https://example.org")
    '\\\\*AAPL\\\\* \\\\<b\\\\> https\\\\://example.org'
    """
    return _MARKUP.sub(r"\\\g<0>", printable(text))


# The last two are addresses that become links without any markup.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~!&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def file_name(text: str) -> str:
    """Name a file after any text: the text itself where it is fit for that, else what is left of it and a digest.

    Returns
    -------
    str
        Up to 89 of ``A-Z a-z 0-9 _ -``; two texts never share it.
    """
    kept = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:80]
    if kept == text and kept:
        return kept
    return f"{kept or '_'}-{hashlib.blake2b(text.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"
