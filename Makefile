PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test quick bench bench-scale clean

# The environment is made once, and again when what it is made from changes.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

run: $(STAMP)
	$(BIN)/sensequant backfill

# Most of the time of the tests of a daemon is waiting: three at once keep two cores busy. What they start by the hundred
# is compiled once, whatever the shell says.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# The core and telemetry alone: no Dagster, and an answer while one still remembers the question.
quick: $(STAMP)
	$(BIN)/pytest -n 2 -m "not daemon" sensequant_assets_tests/core sensequant_assets_tests/telemetry

bench: $(STAMP)
	$(BIN)/python bench/bench_nse.py

bench-scale: $(STAMP)
	$(BIN)/python bench/bench_scale.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
