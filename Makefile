# One command each for what a developer does. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := --extra stream --extra serving --extra infra --extra batch --extra embedded
export DOCKER_BUILDKIT ?= 0
PARTITIONS ?= 6
# Services are started once a process, so that no two processes share one; a file's tests run in one process, so that what
# its fixtures train or start is made once (tests/distribution.py). Four for tests that mostly wait, two for those that
# mostly compute.
TEST_PROCESSES ?= 4
UNIT_PROCESSES ?= 2
BY_FILE := --dist loadfile --no-loadscope-reorder
# The processes share the cores: each computes by one thread, and none compiles anew what another one has compiled.
test test-unit coverage: export OMP_NUM_THREADS ?= 1
test test-unit coverage: export OPENBLAS_NUM_THREADS ?= 1
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test-unit coverage faults faults-mutants faults-volume help setup demo test lint format types imports check docs lock bench-ingest bench-click bench-prequential bench-refresh bench-commit bench-state bench-openedx bench-train bench-finetune bench-beside bench-follow bench-growth soak services \
  compose-up compose-down clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv/ with everything in requirements/lock.txt and this project, editable.

$(STAMP): requirements/lock.txt pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  f"make setup: expected Python 3.11 to 3.13 as PYTHON, received {v[0]}.{v[1]}")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make setup: expected a Python with venv, received one without (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@# A folder that is no environment (half made, or another machine's) is made anew; a whole one is kept.
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@# Compiled once here: else each of several processes that start together would compile all that it imports.
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/lock.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup ## The whole thing on this machine: history, model, a live click, the changed list.
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN)/recsys demo; else exec $(BIN)/recsys demo --once; fi

test: setup ## All tests, on the first real services found: given addresses, Docker, JDK + Maven, else embedded.
	RECSYS_TEST_EXAMPLES=all $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(BY_FILE) $(ARGS)

test-unit: setup ## Tests that need no Kafka: unit and contract; property tests draw a fifth of their examples.
	$(BIN)/python -m pytest -n $(UNIT_PROCESSES) $(BY_FILE) tests/unit tests/contract $(ARGS)

coverage: setup ## Line and branch coverage of the unit and contract tests, by package; fails below the bound in pyproject.toml.
	$(BIN)/python -m pytest -n $(UNIT_PROCESSES) $(BY_FILE) tests/unit tests/contract --cov --cov-report=term:skip-covered $(ARGS)
	$(BIN)/python -m tests.coverage_by_package

lint: setup ## Ruff: lint and format, nothing changed.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## Ruff: mend what can be mended, format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## Mypy, strict.
	$(BIN)/mypy

imports: setup ## Import contracts: no layer imports another, no TensorFlow in worker and API.
	$(BIN)/lint-imports

check: lint types imports test ## Everything that CI looks at.

docs: setup ## Write the generated pages (docs/settings.md).
	$(BIN)/recsys settings --markdown > docs/settings.md.new
	mv docs/settings.md.new docs/settings.md

lock: setup ## Resolve pyproject.toml into requirements/lock.txt, with hashes.
	UV_CUSTOM_COMPILE_COMMAND="make lock" VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip compile pyproject.toml $(EXTRAS) \
	  --group dev --universal --generate-hashes --no-emit-index-url --quiet --output-file requirements/lock.txt $(ARGS)

bench-ingest: setup ## Events/s of one worker beside the textbook Faust agent, on real Kafka and Redis.
	$(BIN)/python -m benchmarks.ingest $(ARGS)

bench-click: setup ## Milliseconds from a click to an answer that contains it, by stage; ARGS="--rate 100 2000 8000 --plot F" beside a load.
	$(BIN)/python -m benchmarks.click_to_answer $(ARGS)

bench-prequential: setup ## What visibility is worth: hit rate and NDCG by delay, beside rivals that learn at once; ARGS="--plot F".
	$(BIN)/python -m benchmarks.prequential $(ARGS)

bench-refresh: setup ## CPU to rank a learner, learners refreshed a second, and the oldest list waiting under clicks; ARGS="--services" with a worker.
	$(BIN)/python -m benchmarks.refresh $(ARGS)

bench-commit: setup ## µs of CPU an event in decode, fold and commit, and in Redis, without Kafka.
	$(BIN)/python -m benchmarks.fold_commit $(ARGS)

bench-state: setup ## Bytes of Redis a pair, a learner and in all; ARGS="--before 31e9a26" compares with another commit.
	$(BIN)/python -m benchmarks.state_memory $(ARGS)

bench-openedx: setup ## An Open edX log of 300,000 lines to recommendations, and once more: not a byte differs; ARGS="--drawn".
	$(BIN)/python -m benchmarks.openedx_replay $(ARGS)

bench-train: setup ## Wall, CPU and memory of a retrain, and samples/s of the towers; ARGS="--folder DIR" for a history of yours.
	$(BIN)/python -m benchmarks.training $(ARGS)

bench-finetune: setup ## Ten increments beside a full retrain to the same cut: NDCG@10 and CPU; ARGS="--folder DIR", ARGS="--scale 0.1".
	$(BIN)/python -m benchmarks.finetuning $(ARGS)

bench-growth: setup ## An hour of new learners and courses in minutes: memory and tables of fine-tuner and worker; ARGS="--scale 0.3".
	$(BIN)/python -m benchmarks.growth $(ARGS)

bench-beside: setup ## Clicks and commits with the fine-tuner beside them, and without.
	$(BIN)/python -m benchmarks.finetuner_beside $(ARGS)

bench-follow: setup ## Seconds until answers follow a new course, a retired one, and a rollback, beside a load.
	$(BIN)/python -m benchmarks.followed_changes $(ARGS)

soak: setup ## An hour at a steady rate: memory, descriptors, Redis keys, lag; ARGS="--minutes 3" for less.
	$(BIN)/python -m benchmarks.soak $(ARGS)

faults: setup ## Kills, outages, bad networks against an oracle; ARGS="T1 T5 --scale 0.2", ARGS=--list (docs/faults.md).
	$(BIN)/python -m tests.faults $(ARGS)

faults-mutants: setup ## Safeguards taken out: the fault suite must notice every one.
	$(BIN)/python -m tests.faults.mutants $(ARGS)

faults-volume: setup ## A million random events without Kafka against the oracle; erased learners as if they never were.
	$(BIN)/python -m tests.faults.volume $(ARGS)

services: setup ## A real Kafka 4 and a Redis as local processes until Ctrl-C; prints their addresses.
	@exec $(BIN)/python -m infra.devtools.local_services $(ARGS)

compose-up: ## Build and start everything in Docker; returns when all of it is healthy.
	docker compose build
	docker compose up --detach --wait --wait-timeout 180

compose-down: ## Stop and remove the containers (their data stays; ARGS=-v removes it).
	docker compose --profile batch --profile monitoring down $(ARGS)

clean: ## Remove .venv/ and everything that is made.
	rm -rf $(VENV) build dist reports var *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
