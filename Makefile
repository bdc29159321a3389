# `make demo` and `make test` need only Python 3.11 or later, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench clean

demo: $(VENV)/installed
	$(BIN)/convscope demo

test: $(VENV)/installed-dev
	$(BIN)/pytest -n auto

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

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
	$(BIN)/python -m benchmarks.fool
	$(BIN)/python -m benchmarks.attacks

clean:
	rm -rf $(VENV) demo build dist

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "convscope needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[photos,segment,scan]'
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --requirement requirements-dev.txt
	touch $@ $(VENV)/installed
