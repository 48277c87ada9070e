# NTK Explorer: `make serve` sets up and opens the dashboard, `make test` sets up and runs everything.
# Settings: PORT=5006, PYTHON=/path/to/python (3.11 or newer), e.g. `make serve PORT=5010`.

.DEFAULT_GOAL := help
.PHONY: help serve test test-slow lint bench docs clean

PORT ?= 5006
BIN := .venv/bin
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Two test processes; each kernel computation inside is kept to one thread (see tests/conftest.py).
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: .venv/dashboard.installed  ## set up and open the dashboard at http://localhost:5006 (PORT=... for another)
	@$(BIN)/ntk-explorer serve --port $(PORT)

test: lint  ## set up and run everything but the slow tests
	@$(BIN)/python tests/browsers.py install
	@$(PYTEST) -m "not slow"; status=$$?; $(BIN)/python tests/browsers.py remark; exit $$status

test-slow: .venv/test.installed  ## the tests that compute for minutes
	@$(BIN)/python -m pytest -m slow

lint: .venv/test.installed  ## style, format, types and the floors of the house
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Run $(BIN)/ruff format . to put that right." >&2; exit 1; }
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

bench: .venv/test.installed  ## measure and print the figures of benchmarks/RESULTS.md (a part: ARGS="kernels --quick")
	@$(BIN)/python benchmarks/run.py $(ARGS)

docs: .venv/docs.installed  ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:  ## remove the environment and everything built
	rm -rf .venv site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(or $(PYTHON),false) -c '$(SUITABLE)' 2>/dev/null || { echo "NTK Explorer needs Python 3.11 or newer and \
	found none$(if $(PYTHON), in $(PYTHON)). Install one, or name it: make serve PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make virtual environments. \
	Install its venv package (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }

# An extra of pyproject.toml is installed again only when its versions may have changed. neural-tangents comes without
# what it asks for: all but frozendict are there, and TensorFlow (2.7 GB) serves one experimental module that we never import.
.venv/%.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing NTK Explorer [$*] into .venv (once; takes a minute or so) ..."
	@$(PIP) -e ".[$*]"
	@$(PIP) --no-deps neural-tangents frozendict
	@touch $@
