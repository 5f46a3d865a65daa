# Every target sets up its own virtual environment first; a fresh clone needs nothing but Python.
#   make demo            PYTHON=python3.12 make test            make help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A worker whose tests are done takes half of what another has left: no core waits for a long file.
PYTEST := $(BIN)/python -m pytest -q -n auto --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test quick test-kernels lint bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

# Reinstalled when the requirements change; an existing environment is reused, never wiped.
$(STAMP): setup.cfg pyproject.toml
	@echo "setting up $(VENV) (once; a few minutes on a slow connection)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## fit, certify, plot and sample a real data column; writes demo_output/
	$(BIN)/convexscore demo --out demo_output

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## lint, then every test and doctest, a worker on each core
	$(PYTEST)

quick: $(STAMP)  ## the fast tests only, for the time between two edits
	$(PYTEST) -m "not slow"

test-kernels: $(STAMP)  ## the numeric tests with the rounding of other processors (eight runs)
	$(BIN)/python -m tests.kernels

bench: $(STAMP)  ## measure speed, memory and accuracy (peers: pip install -e '.[peers]')
	$(BIN)/python -m benchmarks

clean:  ## remove the environment, caches and demo output
	rm -rf $(VENV) build dist *.egg-info demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
