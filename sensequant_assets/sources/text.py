"""Text files of bars: how one is written - its encoding, what parts its cells, its header - before it is read."""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from sensequant_assets.sources.headers import TIME, missing_columns, plain_name, roles_of
from sensequant_assets.sources.packing import refuse_more_than_memory

_HEAD = 2**16
_LONGEST_HEAD = 2**24
_HEADER_LINES = 4
"""Lines that a header may have: two levels of names, the name of the times, and one to see that it ends."""
_PREAMBLE_LINES = 12
"""Lines of titles and remarks that may stand before a header, which then has every column that bars need."""
DELIMITERS = ",;\t|"
"""What parts the cells of a line."""
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip

_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?")
"""A number whose thousands are parted by commas, or its thousands and then its hundreds of them, as in India."""
_DECIMAL_POINT = re.compile(r"[+-]?\d+\.(?:\d{1,2}|\d{4,})")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")


@dataclass(frozen=True, slots=True)
class TextForm:
    """How a text file is written.

    Attributes
    ----------
    encoding
        As Python calls it.
    delimiter
        What parts cells.
    padded
        Whether blanks follow it.
    lines
        Lines of the header.
    names
        Plain names of the columns.
    tickers
        Whose each column is, where the header has a line that says so; otherwise empty.
    preamble
        Whether lines of something else stand before the header.
    """

    encoding: str
    delimiter: str
    padded: bool
    lines: int
    names: Sequence[str]
    tickers: Sequence[str] = ()
    preamble: bool = False


def text_form(stream: BinaryIO) -> TextForm:
    """Find out how a file is written; its place in the stream is its beginning before and after.

    Raises
    ------
    ValueError
        It is empty, or no text.
    """
    size, head = _HEAD, b""
    while True:
        stream.seek(0)
        head = stream.read(size)
        encoding = encoding_of(head)
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) < size)
        if len(head) < size or size >= _LONGEST_HEAD or len(text.splitlines()) > _PREAMBLE_LINES + 2 * _HEADER_LINES:
            break
        size *= 8
    stream.seek(0)
    lines = text.splitlines()
    # pandas counts empty lines at the beginning too.
    blank = next((number for number, line in enumerate(lines) if line.strip()), None)
    if blank is None:
        raise ValueError("it is empty")
    form = _form(encoding, lines[blank : blank + 2 * _HEADER_LINES], blank)
    if form.tickers or not missing_columns(form.names):
        return form
    later = range(blank + 1, min(blank + _PREAMBLE_LINES, len(lines)))
    first = next((number for number in later if _is_whole(lines[number])), None)
    return form if first is None else replace(_form(encoding, lines[first : first + 1], first), preamble=True)


def _form(encoding: str, lines: Sequence[str], blank: int) -> TextForm:
    readings = [(_missing(lines[0], delimiter), delimiter) for delimiter in DELIMITERS]
    delimiter = min(readings, key=lambda one: (one[0][0], -one[0][1]))[1]
    rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))[:_HEADER_LINES]
    padded = f"{delimiter} " in lines[0]
    last = next((number for number in range(1, len(rows)) if _names_the_time(rows[number])), 0)
    if not last or len({len(row) for row in rows[: last + 1]}) > 1:
        return TextForm(encoding, delimiter, padded, blank + 1, [plain_name(name) for name in rows[0]])
    names, tickers = levels_of([rows[last][:1] + row[1:] for row in rows[:last]])
    return TextForm(encoding, delimiter, padded, blank + last + 1, names, tickers)


def _is_whole(line: str) -> bool:
    """Whether a line names every column that bars need."""
    return any(not _missing(line, delimiter)[0] for delimiter in DELIMITERS)


def _missing(line: str, delimiter: str) -> tuple[int, int]:
    """How many columns of bars a header lacks if its cells are parted so, and how many cells it then has."""
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return len(missing_columns([plain_name(cell) for cell in cells])), len(cells)


def _names_the_time(row: Sequence[str]) -> bool:
    """Whether a line names the times alone, as the last one of a header of several levels does."""
    return len(row) > 1 and not any(cell.strip() for cell in row[1:]) and TIME in roles_of([plain_name(row[0])]).at


def levels_of(levels: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Names of columns, and whose each is, from the one or two levels of a header; the first is the time's."""
    plain = [[plain_name(name) for name in level] for level in levels]
    fields = min(range(len(levels)), key=lambda level: len(missing_columns(plain[level])))
    others = [level for number, level in enumerate(levels) if number != fields]
    tickers = ["", *(name.strip() for name in others[0][1:])] if others else []
    return plain[fields], tickers


def encoding_of(head: bytes) -> str:
    """The encoding that the beginning of a text tells."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    # ASCII letters in two bytes each, without the mark that says so.
    if len(head) > 3 and not head[1] and not head[3] and head[0]:
        return "utf-16-le"
    if len(head) > 3 and not head[0] and not head[2] and head[1]:
        return "utf-16-be"
    return "utf-8"


def refuse_cut(stream: BinaryIO) -> None:
    """Refuse a file that does not end with the end of a line; the stream is at its beginning afterwards."""
    stream.seek(0)
    wide = encoding_of(stream.read(4)) not in ("utf-8", "utf-8-sig")
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 4))
    end = stream.read()
    if wide:
        end = end.strip(b"\0")
    if end and end[-1:] not in (b"\n", b"\r"):
        raise ValueError("it does not end with a line end, so it is cut or still being written")
    stream.seek(0)


def text_source(stream: BinaryIO, form: TextForm, cell_bytes: int) -> BinaryIO:
    """The stream in UTF-8, at its beginning; what its cells would take in memory is asked for first."""
    if not form.encoding.startswith("utf-8"):
        stream = io.BytesIO(stream.read().decode(form.encoding).encode())
    refuse_more_than_memory(_bytes(stream, len(form.names) * cell_bytes))
    stream.seek(0)
    return stream


def _bytes(stream: BinaryIO, row_bytes: int) -> int:
    """What the columns take at most once they are read: an empty line has as many cells as any other."""
    size = stream.seek(0, os.SEEK_END)
    try:
        refuse_more_than_memory(size * row_bytes)
        return size
    except ValueError:
        stream.seek(0)
        ends = {b"\n": 0, b"\r": 0}
        for block in iter(lambda: stream.read(2**20), b""):
            ends = {end: count + block.count(end) for end, count in ends.items()}
        return max(size, max(ends.values()) * row_bytes)


def decimal_mark(cells: Iterable[str], delimiter: str) -> str:
    """What parts the decimals of numbers of which some have commas in them: `.`, or `,`.

    Parameters
    ----------
    cells
        Of the columns of numbers.
    delimiter
        What parts cells.

    Raises
    ------
    ValueError
        Every cell can be read both ways, and the file is none whose cells commas part.
    """
    seen = ""
    for cell in cells:
        if _DECIMAL_POINT.fullmatch(cell):
            return "."
        thousands, decimals = _THOUSANDS.fullmatch(cell), _DECIMAL_COMMA.fullmatch(cell)
        if bool(thousands) != bool(decimals):
            return "." if thousands else ","
        seen = seen or (cell if thousands else "")
    if seen and delimiter != ",":
        raise ValueError(
            f"{seen} is {seen.replace(',', '.')} with a decimal comma and {seen.replace(',', '')} with a comma between "
            "thousands, and no other number says which. Write numbers with a decimal point"
        )
    return "."


def without_thousands(cell: str) -> str:
    """A number without the commas between its thousands; anything else as it is."""
    return cell.replace(",", "") if _THOUSANDS.fullmatch(cell) else cell
