"""Per-symbol LightGBM teachers and students for an equity universe, as Dagster assets."""

__version__ = "0.1.0"
