# Every command a person or a CI machine needs. `make help` lists them.

VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
PYTEST  := $(BIN)/python -m pytest

# Small models on shared cores run slower, not faster, with a thread pool each.
export OMP_NUM_THREADS ?= 1
# Tools that would phone home otherwise.
export DO_NOT_TRACK = 1
export GX_ANALYTICS_ENABLED = False
export MLFLOW_DISABLE_TELEMETRY = true

.DEFAULT_GOAL := help
.PHONY: help install demo up stop clean test lint format types contracts unit e2e faults bench lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install the locked dependencies (again only when they change)
	@:

$(STAMP): requirements.txt pyproject.toml
	@.ci/install $(VENV)
	@touch $@

demo: install ## set everything up and tell the whole story on real flights
	@$(BIN)/python -m steward.demo

up: install ## start the stack without the story
	@$(BIN)/python -m steward.local up

stop: ## end what `make demo` or `make up` started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m steward.local stop; else echo "Nothing is installed, nothing runs."; fi

clean: stop ## stop, then remove the environment, the data and every cache
	rm -rf .steward .steward.* $(VENV) demo-report.html build dist .coverage .hypothesis
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Quick tests run side by side; those that start servers and schedulers have the machine to themselves.
test: lint types contracts ## style, types, import contracts and every test that needs no outside service
	$(PYTEST) -n 2 --dist loadfile tests/unit tests/contract tests/golden
	$(PYTEST) tests/airflow tests/e2e tests/faults
	@echo "make test: style, types, import contracts and all tests passed."

lint: install ## check style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: install ## put the style right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: install ## check types
	$(BIN)/mypy

contracts: install ## check that imports only point down
	$(BIN)/lint-imports

unit: install ## the quick tests alone
	$(PYTEST) -n 2 --dist loadfile tests/unit tests/contract tests/golden

e2e: install ## one life story through a real scheduler
	$(PYTEST) tests/e2e

faults: install ## kills, races, tampering; prints what was seen
	$(PYTEST) -s tests/faults

bench: install ## print the figures the README shows, five minutes
	$(PYTEST) tests/bench -m bench --disable-warnings

lock: install ## resolve requirements.txt again; UPGRADE=1 moves every pin
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--quiet --output-file requirements.txt
