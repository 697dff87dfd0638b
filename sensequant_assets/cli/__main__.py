"""`python -m sensequant_assets.cli`."""

from sensequant_assets.cli.main import run

run()
