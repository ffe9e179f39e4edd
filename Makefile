# `make run` measures and draws, `make test` tests; both first make .venv where it is missing or outdated (install.py).
# Nothing is needed but Python 3.11 or newer and make.

PYTHON ?= python3
PY = .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run smoke report readme test bench gate trial lint format constraints clean venv

help:
	@echo "make run      train, time and compare the five models; draw reports/triangle.html (8 minutes on 2 cores)"
	@echo "make test     the whole test suite"
	@echo "make smoke    the shortest experiment, under a minute"
	@echo "make report   draw the pages again from results/"
	@echo "make readme   write the README's numbers again from results/"
	@echo "make bench    time the models' operators with pytest-benchmark"
	@echo "make gate     is this tree slower than BASE? HEAD~1 where none is named; 5 minutes at most"
	@echo "make trial    how often the gate itself is wrong here; 35 minutes on a quiet machine"
	@echo "make lint     ruff and mypy (make format mends what ruff can)"
	@echo "make clean    remove .venv and caches; results stay"
	@echo "make constraints   resolve pyproject.toml anew and pin every version"

# Points that ended in an error, which is exit code 1, leave the others to be drawn.
run: venv
	@code=0; $(PY) -m harness run experiments/triangle.yaml || code=$$?; \
	test $$code -le 1 || exit $$code; \
	$(PY) -m harness report || exit $$?; \
	echo "Look at $(CURDIR)/reports/triangle.html, and at $(CURDIR)/reports/index.html for the rest."; \
	exit $$code

smoke: venv
	@$(PY) -m harness run experiments/smoke.yaml

report: venv
	@$(PY) -m harness report

readme: venv
	@$(PY) -m harness.readme_parts
	@$(PY) -m harness.gate.trial write

test: venv
	@$(PY) -m pytest

# Without the shape checks that the tests run under: they cost time.
bench: venv
	@$(PY) -m pytest -o addopts="-q -s" tests/benchmarks

BASE ?= HEAD~1
gate: venv
	@$(PY) -m harness gate --base $(BASE) experiments/ci_throughput.yaml

trial: venv
	@$(PY) -m harness.gate.trial run

lint: venv
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: venv
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

venv:
	@$(PYTHON) install.py

constraints:
	@$(PYTHON) install.py resolve

clean:
	@$(PYTHON) install.py clean
