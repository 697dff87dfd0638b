"""Per-symbol LightGBM teachers and students for an equity universe, as Dagster assets."""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """`load_champions`, which is imported with all that it needs when somebody asks for it."""
    if name == "load_champions":
        return import_module("sensequant_assets.service.notebook").load_champions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
