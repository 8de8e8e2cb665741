# Every target does its own set-up: Python 3.11–3.13 is all that a machine needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := .venv-release

.PHONY: demo setup fix check test slow docs site package lock licenses audit clean

demo: $(READY)  ## the whole job on generated scenes, in minutes
	$(BIN)/rsseg-tf demo --out demo --overwrite

setup: $(READY)  ## a virtual environment with the tested versions

$(READY): constraints.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,geo,video,report,cluster,onnx,openvino,ethosu,docs,dev]'
	touch $@

fix: $(READY)  ## format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(READY) site  ## format, lint, types, layers, the pages' links
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

site: $(READY)  ## the docs as a site in build/site; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

package: $(READY) $(TOOLS)/.ready  ## the files of a release in dist/, checked
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(TOOLS)/bin/twine check --strict dist/*

$(TOOLS)/.ready:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv==0.13.* pip-audit==2.10.* twine==7.*
	touch $@

lock: $(TOOLS)/.ready  ## requirements.lock: the release set with the hashes of its files
	$(TOOLS)/bin/uv pip compile setup.py --extra train --extra geo --extra video --extra report \
		--extra cluster --extra onnx --extra openvino --extra ethosu \
		--constraint constraints.txt --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
		--no-annotate --custom-compile-command 'make lock' --quiet --output-file requirements.lock

licenses: $(READY)  ## docs/licenses.md: the licenses of the release set
	$(BIN)/python tools/write_licenses.py

audit: $(TOOLS)/.ready  ## known holes in the release set; asks PyPI's database of advisories
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.lock \
		|| { echo 'audit: not passed. A table above names what is to be updated; without one the database was not reached' >&2; exit 1; }

clean:
	rm -rf $(VENV) $(TOOLS) build dist demo .pytest_cache .mypy_cache .ruff_cache
