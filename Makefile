# All work is done in .venv/ of this checkout, so that .venv/bin/wes exists after each command.
SHELL := /bin/sh
BIN := .venv/bin
# More than there are cores, as tests of whole services wait more than they work.
TEST_WORKERS ?= 5
# Where it is set, each program and each worker of pytest compiles all of this anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-all test test-quick chaos conformance check bench format lock clean

help:
	@echo 'make demo     set everything up and run the example workflow'
	@echo 'make demo-all install every engine and run the example in all languages'
	@echo 'make test     set everything up and run all tests'
	@echo 'make test-quick  the unit tests alone, for the inner loop'
	@echo 'make chaos    runs of all engines while programs are killed, on both databases; ARGS=--help tells more'
	@echo 'make conformance CWL_TESTS=DIR   run a checkout of the CWL conformance tests'
	@echo 'make check    lint, format, types, layers, dependencies'
	@echo 'make bench    measure'
	@echo 'make format   write the format that make check wants'
	@echo 'make lock     write uv.lock and requirements/ anew from pyproject.toml'
	@echo 'make clean    remove .venv and what tools left (not the data of any service)'

demo:
	@.ci/setup run
	@$(BIN)/wes demo

demo-all:
	@.ci/setup run
	@$(BIN)/wes demo --all

test:
	@.ci/setup dev
	@.ci/system-packages
	@$(BIN)/python -m tests.s3_fixture
	@$(BIN)/python -m tests.engine_fixtures
	@$(BIN)/python -m tests.acceptance.clients.environments
	@# Compiles the tests, which each worker would do by itself.
	@$(BIN)/python -m pytest tests --collect-only -qq >/dev/null
	$(BIN)/python -m pytest tests -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-quick:
	@.ci/setup dev
	$(BIN)/python -m pytest tests/unit -n 2 --dist loadfile

# Ten minutes; ARGS='--seed 7 --database sqlite' for the one that failed.
chaos:
	@.ci/setup dev
	@.ci/system-packages
	@$(BIN)/python -m tests.chaos $(ARGS)

# DIR: git clone https://github.com/common-workflow-language/cwl-v1.2; ARGS='-j 4 -- --tags required' for a part of it.
conformance:
	@.ci/setup dev
	@.ci/system-packages conformance
	@$(BIN)/python -m tests.acceptance.conformance '$(CWL_TESTS)' $(ARGS)

check:
	@.ci/setup dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	.ci/lock --check

bench:
	@.ci/setup dev
	@.ci/system-packages
	@$(BIN)/python -m tests.s3_fixture
	@$(BIN)/python -m tests.engine_fixtures
	$(BIN)/python -m tests.bench

format:
	@.ci/setup dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:
	@.ci/setup dev
	.ci/lock

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache demo-output
