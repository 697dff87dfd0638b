"""Marks what needs a daemon or a browser by its file, so that the rest can be run alone: `pytest -m "not daemon"`.

And puts it first: its files take longest, and what is short fills the cores at the end.
"""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    items.sort(key=lambda item: not item.path.is_relative_to(here))
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.daemon)
            if item.path.name == "test_browser.py":
                item.add_marker(pytest.mark.browser)
