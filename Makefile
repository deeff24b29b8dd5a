# Everything runs from a virtual environment in .venv, made on first use and again when a dependency changes.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# More than two cores have: half of a test that starts processes is waiting for them.
WORKERS ?= 3
export DAGSTER_HOME ?= $(CURDIR)/.dagster

.PHONY: setup demo test lint dev bench screenshots clean clean-data
.DEFAULT_GOAL := help

help:
	@echo "make setup  install everything into .venv"
	@echo "make demo   set up, run the example pipelines through Dagster, show what came out"
	@echo "make dev    open the Dagster UI on http://localhost:3000"
	@echo "make test   set up and run the tests"
	@echo "make lint   formatting, lint, types, import rules"
	@echo "make bench  every benchmark, short"
	@echo "make screenshots  take the pictures in docs/images again, in a real Chromium"
	@echo "make clean  remove .venv; make clean-data removes records and outputs"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (found: $$($(PYTHON) --version)); try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

demo: setup
	@$(BIN)/python scripts/demo.py

test: setup
	@$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

dev: setup
	@mkdir -p "$$DAGSTER_HOME" && test -e "$$DAGSTER_HOME/dagster.yaml" || cp dagster.yaml "$$DAGSTER_HOME/"
	@$(BIN)/dagster dev -w workspace.yaml

bench: setup
	@set -e; for script in $(filter-out benchmarks/measure.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python "$$script" 20000; done

screenshots: setup
	@$(BIN)/python scripts/screenshots.py

clean:
	rm -rf .venv

clean-data:
	@test "$(CONFIRM)" = yes || { echo "this removes every run's record and output: make clean-data CONFIRM=yes"; exit 1; }
	rm -rf .dagster landscape output
