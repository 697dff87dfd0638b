"""The examples of the core's docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

from sensequant_assets import core

MODULES = [module.name for module in pkgutil.iter_modules(core.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(f"sensequant_assets.core.{name}")).failed == 0


def test_there_are_examples():
    found = [doctest.testmod(importlib.import_module(f"sensequant_assets.core.{name}")).attempted for name in MODULES]
    assert sum(found) >= 8
