# `make demo` and `make test` need only Python 3.11 or later, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the Explorer's pages are made of; installing builds them (hatch_build.py), which needs npm's registry once.
WEB := hatch_build.py $(shell find web -name node_modules -prune -o -type f -print)
WEB_INSTALLED := web/node_modules/.package-lock.json
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix web

.PHONY: demo explore test check bench clean

demo: $(VENV)/installed
	$(BIN)/convscope demo

explore: $(VENV)/installed
	test -e demo/pieces.scan/header.json || $(BIN)/convscope demo
	$(BIN)/convscope explore demo/pieces.scan

test: $(VENV)/installed-dev $(WEB_INSTALLED)
	$(NPM) test --silent
	$(BIN)/pytest -n auto

check: $(VENV)/installed-dev $(WEB_INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NPM) run check --silent

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.accuracy
	$(BIN)/python -m benchmarks.check
	$(BIN)/python -m benchmarks.occlusion
	$(BIN)/python -m benchmarks.scan
	$(BIN)/python -m benchmarks.neighbours
	$(BIN)/python -m benchmarks.maps
	$(BIN)/python -m benchmarks.synthesis --classes 100
	$(BIN)/python -m benchmarks.style
	$(BIN)/python -m benchmarks.stylize
	$(BIN)/python -m benchmarks.evolution
	$(BIN)/python -m benchmarks.fooling
	$(BIN)/python -m benchmarks.explorer

clean:
	rm -rf $(VENV) demo build dist web/node_modules src/convscope/explorer/pages

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "convscope needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt $(WEB) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[photos,segment,scan,explorer]'
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt requirements-dev.txt $(WEB) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --requirement requirements-dev.txt
	touch $@ $(VENV)/installed

$(WEB_INSTALLED): web/package-lock.json | $(VENV)/installed-dev
	$(NPM) ci --no-audit --no-fund
	touch $@
