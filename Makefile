PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What runs it, and what tests it as well; each is installed when it is first needed.
RUN := $(VENV)/.run
DEV := $(VENV)/.dev

.PHONY: run test test-ray quick cover docs bench bench-scale clean

# uv installs the same in a tenth of the time, where it is there.
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
install = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
  $(UV) pip install --python $(BIN)/python --constraint constraints.txt --editable "$(1)"
else
install = $(PYTHON) -m venv $(VENV) && \
  $(BIN)/python -m pip install --disable-pip-version-check --no-compile --constraint constraints.txt --editable "$(1)"
endif

# Each is made once, and again when what it is made from changes.
$(RUN): pyproject.toml constraints.txt
	@echo "Installing what runs it into $(VENV)"
	@$(call install,.[dg])
	@touch $(RUN)

$(DEV): pyproject.toml constraints.txt
	@echo "Installing what runs and tests it into $(VENV)"
	@$(call install,.[dev])
	@touch $(RUN) $(DEV)

run: $(RUN)
	$(BIN)/sensequant backfill

# Most of the time of the tests of a daemon is waiting: three at once keep two cores busy. What they start by the hundred
# is compiled once, whatever the shell says.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# On a cluster of this machine. A process that has driven Ray may be ended by it later, so it tests nothing else; and 240 MB
# and a minute are too much for every run of the tests.
test-ray: $(DEV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable ".[dev,ray]"
	$(BIN)/pytest sensequant_assets_tests/batch/engines

# The core and telemetry alone: no Dagster, and an answer while one still remembers the question.
quick: $(DEV)
	$(BIN)/pytest -n 2 -m "not daemon" sensequant_assets_tests/core sensequant_assets_tests/telemetry

# Lines that the tests reach in the process that runs them; what only a process of its own runs counts as missed. The floor is a little
# below what is reached, so that code without a test is noticed, and no number is chased.
cover: $(DEV)
	$(BIN)/pytest -n 2 --dist loadfile -m "not daemon" --cov=sensequant_assets --cov-report=term:skip-covered --cov-fail-under=88

# The site, into build/site; the tables that the code knows are written into their pages first.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(DEV)
	$(BIN)/python docs/pages.py
	$(BIN)/mkdocs build

bench: $(DEV)
	$(BIN)/python bench/bench_nse.py

bench-scale: $(DEV)
	$(BIN)/python bench/bench_scale.py

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache
