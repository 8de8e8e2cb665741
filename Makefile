# Every target does its own set-up: Python 3.11–3.13 is all that a machine needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo setup fix check test slow docs clean

demo: $(READY)  ## the whole job on generated scenes, in minutes
	$(BIN)/rsseg-tf demo --out demo --overwrite

setup: $(READY)  ## a virtual environment with the tested versions

$(READY): constraints.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,geo,video,report,dev]'
	touch $@

fix: $(READY)  ## format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(READY)  ## the fast tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile

slow: $(READY)  ## the tests that train for minutes
	$(BIN)/pytest -m slow

docs: $(READY)  ## docs/cli.md from --help, docs/settings.md from the settings
	$(BIN)/python tools/write_docs.py

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
