"""Marks what needs a daemon or a browser by its file, so that the rest can be run alone: `pytest -m "not daemon"`."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.daemon)
            if item.path.name == "test_browser.py":
                item.add_marker(pytest.mark.browser)
