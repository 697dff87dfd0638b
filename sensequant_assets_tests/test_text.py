"""Claims about text from outside and where it goes."""

import doctest
import html
import json

import pytest
from markdown_it import MarkdownIt

from sensequant_assets import text
from sensequant_assets.errors import FailureKind, SenseQuantError, UsageError, WindowError
from sensequant_assets.text import file_name, json_text, markdown_text, printable

NASTY = (
    "[/] [bold]b[/] :boom:"
    " \x1b[2J\x1b]0;title\x07 \x9b31m \x00 \x7f \r\n\u2028 \u202eevil \udc80 <b>&amp; *x* ![i](j) `c`"
)
"""Markup of rich, HTML and Markdown, what a terminal obeys, line breaks, a reversed direction, half a character."""


def test_the_examples_hold() -> None:
    assert doctest.testmod(text) == (0, 2)


@pytest.mark.parametrize(
    "fine", ["", "Tata Consultancy & Söhne", "टाटा", "[/] <b> *x*", "a\\b", "Größe 10 µm → √2", "naïve 🙂"]
)
def test_what_can_be_printed_stays_as_it_is(fine: str) -> None:
    assert printable(fine) is fine
    assert json_text(fine) == json.dumps(fine, ensure_ascii=False)


def test_what_cannot_be_printed_is_shown() -> None:
    shown = printable(NASTY)
    assert shown.isprintable()
    assert r" \x1b[2J\x1b]0;title\x07 \x9b31m \x00 \x7f \r\n\u2028 \u202eevil \udc80" in shown


@pytest.mark.parametrize("indent", [None, 2])
def test_json_of_anything_prints_and_reads_as_it_was(indent: int | None) -> None:
    value = {NASTY: [NASTY, None, 1.5, {"\U000e0001": "🙂"}]}
    written = json_text(value, indent=indent)
    assert json.loads(written) == value
    assert all(line.isprintable() for line in written.split("\n"))
    assert "🙂" in written


def test_markdown_shows_every_sign_as_it_is() -> None:
    ascii_signs = "".join(map(chr, range(33, 127)))
    for shown in (NASTY, ascii_signs, "a <!-- b --> c", "<https://x.org> [a]: b", "&lt;", "a | b", "~~x~~ ==x=="):
        rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"- x: {markdown_text(shown)}")
        assert html.unescape(rendered) == f"<ul>\n<li>x: {printable(shown)}</li>\n</ul>\n"
    assert markdown_text("https://x.org, www.x.org, a@x.org") == r"https\://x.org, www\.x.org, a\@x.org"


def test_a_name_of_a_file_is_the_text_or_tells_it_from_all_others() -> None:
    assert file_name("20260131-184502-3f9a") == "20260131-184502-3f9a"
    others = ["a.b", "a_b", "a/b", "../a", "", ".", "..", "_", "x" * 80, "x" * 81, "x" * 300, NASTY, "a\x00", "a\n"]
    names = [file_name(other) for other in others]
    assert len(set(names)) == len(others)
    for name in names:
        assert 0 < len(name.encode()) < 100
        assert name.replace("-", "").replace("_", "").isalnum() or name == "_"


@pytest.mark.parametrize("error", [SenseQuantError, UsageError, lambda said: WindowError(FailureKind.TIMEOUT, said)])
def test_an_error_of_ours_is_a_line_that_prints_wherever_it_is_logged(error) -> None:
    assert str(error(f"It says {NASTY}.")) == f"It says {printable(NASTY)}."
