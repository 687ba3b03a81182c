# Every chore of this repository. Each target installs what it needs on a machine that has Python, git and make.
PYTHON ?= python3
ENGINE ?= prefect
BIN := .venv/bin
READY := .venv/.ready
INTEROP := .venv-interop
BENCH := .venv-bench
AIRFLOW := .venv-airflow
PREFECT := .venv-prefect
LOWEST := .venv-lowest
TRANSFORMERS := .venv-transformers
DOCS := .venv-docs

# Two workers are what the times of the tests are meant for; each has servers of its own.
IN_TWO := -n 2 --dist loadfile

# Tests and demos start processes by the hundred, each of which would compile anew all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo pipelines test test-airflow test-prefect test-slow test-slow-airflow test-slow-prefect test-interop test-lowest test-transformers chaos check docs format bench lock clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

ENVIRONMENT = $(if $(filter core,$(ENGINE)),.venv,.venv-$(ENGINE))
demo: $(ENVIRONMENT)/.ready ## train, interrupt, resume, choose, deploy and ask a model on this machine (ENGINE=prefect, core or airflow)
	@$(ENVIRONMENT)/bin/python -I demos/$(ENGINE).py

pipelines: $(READY) $(AIRFLOW)/.ready $(PREFECT)/.ready ## the pipelines of dags/, all of them on both engines, and a table of what came of them
	@$(BIN)/python -I demos/pipelines.py

test: $(READY) ## the tests, in a few minutes
	$(BIN)/pytest $(IN_TWO) -m "not slow"
	@$(MAKE) --no-print-directory test-airflow test-prefect

test-airflow: $(AIRFLOW)/.ready ## the Airflow provider, in its own environment
	$(AIRFLOW)/bin/pytest $(IN_TWO) -m "not slow" integrations/airflow/tests

test-prefect: $(PREFECT)/.ready ## the Prefect collection, in its own environment, with a server of its own
	cd integrations/prefect && $(CURDIR)/$(PREFECT)/bin/pytest $(IN_TWO) -m "not slow"

test-slow: $(READY) ## the tests that kill, wait and measure
	$(BIN)/pytest $(IN_TWO) -m slow
	@$(MAKE) --no-print-directory test-slow-airflow test-slow-prefect

# Real schedulers and servers that are killed, on a machine that may be busy: what fails is tried once more before it
# counts.
test-slow-airflow: $(AIRFLOW)/.ready
	$(AIRFLOW)/bin/pytest $(IN_TWO) -m slow integrations/airflow/tests \
		|| $(AIRFLOW)/bin/pytest -m slow --last-failed integrations/airflow/tests

# A Prefect server on SQLite was seen to stand still: it collects a cursor of a connection that waits for the database.
test-slow-prefect: $(PREFECT)/.ready
	cd integrations/prefect && ($(CURDIR)/$(PREFECT)/bin/pytest $(IN_TWO) --timeout 600 --timeout-method thread -m slow \
		|| $(CURDIR)/$(PREFECT)/bin/pytest $(IN_TWO) -m slow --last-failed)

test-interop: $(INTEROP)/.ready ## the unmodified truss CLI and baseten SDK against the local platform
	cd interop && ../$(INTEROP)/bin/pytest

# What touches other packages most; the rest of the core is as fine with them.
test-lowest: $(LOWEST)/.ready ## the core with the oldest packages that pyproject.toml allows
	$(LOWEST)/bin/pytest $(IN_TWO) -m "not slow" tests/api tests/cli tests/local tests/package tests/test_values.py

# Beside the locks, and by pip rather than uv: torch has builds of its own for each kind of machine.
test-transformers: $(READY) ## examples/transformer: the Hugging Face Trainer and `transformers serve`, some 1.2 GB
	@if $(MAKE) --no-print-directory $(TRANSFORMERS)/.ready; then \
		TRANSFORMERS_PYTHON=$(CURDIR)/$(TRANSFORMERS)/bin/python $(BIN)/pytest tests/transformer; \
	else \
		echo "Skipped: torch and transformers cannot be installed on this machine. What pip said stands above."; \
	fi

chaos: $(READY) $(AIRFLOW)/.ready $(PREFECT)/.ready ## kill runs and the platform for some hours, and look for what is twice or lost
	$(BIN)/python tests/chaos/killed_runs.py --runs 1000
	$(BIN)/python tests/chaos/survival.py --kills 200 --jobs 20
	CHAOS_RUNS=100 $(AIRFLOW)/bin/pytest integrations/airflow/tests/test_chaos.py
	cd integrations/prefect && CHAOS_RUNS=100 $(CURDIR)/$(PREFECT)/bin/pytest tests/test_chaos.py

check: $(READY) $(AIRFLOW)/.ready $(PREFECT)/.ready ## style, types, and the rules of the house
	$(BIN)/pre-commit run --all-files --show-diff-on-failure
	cd integrations/airflow && $(CURDIR)/$(AIRFLOW)/bin/mypy
	cd integrations/prefect && $(CURDIR)/$(PREFECT)/bin/mypy

docs: $(DOCS)/.ready ## the documentation as a site, in build/site; a link that leads nowhere is an error
	$(DOCS)/bin/python docs/generate_reference_pages.py
	$(BIN)/ruff format --quiet docs/reference
	$(DOCS)/bin/python docs/build_site.py

format: $(READY) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format --quiet

bench: $(READY) $(INTEROP)/.ready $(PREFECT)/.ready $(BENCH)/.ready ## measure everything beside what people use today, into benchmarks/results.md
	$(BIN)/python -m benchmarks

# Locks hold versions and hashes but no index, so that they install behind any mirror. Releases younger than
# LOCK_BEFORE are not considered: a month to be found out.
LOCK_BEFORE ?= 2026-10-25
LOCK_OPTIONS = --universal --generate-hashes --no-emit-index-url --quiet --exclude-newer $(LOCK_BEFORE) \
	--custom-compile-command "make lock"
COMPILE = $(CURDIR)/$(BIN)/uv pip compile pyproject.toml $(LOCK_OPTIONS) --output-file requirements.lock

lock: $(READY) ## resolve the dependencies of all three distributions, of interop/ and of docs/ anew
	$(COMPILE) --python-version 3.10 --all-extras --group dev
	$(BIN)/uv pip compile pyproject.toml $(LOCK_OPTIONS) --resolution lowest-direct --python-version 3.10 --extra local \
		--output-file requirements-lowest.lock
	for engine in airflow prefect; do \
		(cd integrations/$$engine && $(COMPILE) --python-version 3.10 --group dev --no-emit-package truss-train-core) || exit 1; \
	done
	$(BIN)/uv pip compile interop/requirements.in pyproject.toml --extra local --no-emit-package truss-train-core \
		$(LOCK_OPTIONS) --python-version 3.11 --output-file interop/requirements.lock
	$(BIN)/uv pip compile benchmarks/requirements.in pyproject.toml integrations/airflow/pyproject.toml \
		--no-emit-package truss-train-core $(LOCK_OPTIONS) --python-version 3.11 --output-file benchmarks/requirements.lock
	$(BIN)/uv pip compile docs/requirements.in $(LOCK_OPTIONS) --python-version 3.10 --output-file docs/requirements.lock

clean: ## remove what the other targets made
	rm -rf .venv .venv-* build .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "truss-train needs Python 3.10 or newer; set PYTHON=…")'
	@echo "Installing into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet "$$(grep -oE '^uv==[^ ]+' requirements.lock)" 2>.venv/pip.log \
		|| (cat .venv/pip.log; exit 1)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

$(LOWEST)/.ready: requirements-lowest.lock requirements.lock pyproject.toml $(READY)
	@echo "Installing into $(LOWEST) …"
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv --without-pip $(LOWEST)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(LOWEST)/bin/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes --python $(LOWEST)/bin/python -r requirements-lowest.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(LOWEST)/bin/python --editable .
	@touch $@

$(INTEROP)/.ready: interop/requirements.lock pyproject.toml $(READY)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "the baseten SDK needs Python 3.11 or newer; set PYTHON=…")'
	@echo "Installing into $(INTEROP) …"
	@test -x $(INTEROP)/bin/python || $(PYTHON) -m venv --without-pip $(INTEROP)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(INTEROP)/bin/python interop/requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(INTEROP)/bin/python --editable .
	@touch $@

$(AIRFLOW)/.ready: integrations/airflow/requirements.lock integrations/airflow/pyproject.toml pyproject.toml $(READY)
	@echo "Installing into $(AIRFLOW) …"
	@test -x $(AIRFLOW)/bin/python || $(PYTHON) -m venv --without-pip $(AIRFLOW)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(AIRFLOW)/bin/python integrations/airflow/requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(AIRFLOW)/bin/python \
		--editable . --editable integrations/airflow
	@touch $@

# The providers of other platforms, beside which the parsing of a DAG file is measured.
$(BENCH)/.ready: benchmarks/requirements.lock integrations/airflow/pyproject.toml pyproject.toml $(READY)
	@echo "Installing into $(BENCH) …"
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv --without-pip $(BENCH)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BENCH)/bin/python benchmarks/requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BENCH)/bin/python \
		--editable . --editable integrations/airflow
	@touch $@

$(PREFECT)/.ready: integrations/prefect/requirements.lock integrations/prefect/pyproject.toml $(READY)
	@echo "Installing into $(PREFECT) …"
	@test -x $(PREFECT)/bin/python || $(PYTHON) -m venv --without-pip $(PREFECT)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(PREFECT)/bin/python integrations/prefect/requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(PREFECT)/bin/python \
		--editable . --editable integrations/prefect
	@touch $@

$(DOCS)/.ready: docs/requirements.lock $(READY)
	@echo "Installing into $(DOCS) …"
	@test -x $(DOCS)/bin/python || $(PYTHON) -m venv --without-pip $(DOCS)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(DOCS)/bin/python docs/requirements.lock
	@touch $@

$(TRANSFORMERS)/.ready: tests/transformer/requirements.txt tests/transformer/constraints.txt
	@echo "Installing torch and transformers into $(TRANSFORMERS) …"
	@test -x $(TRANSFORMERS)/bin/python || $(PYTHON) -m venv $(TRANSFORMERS)
	@$(TRANSFORMERS)/bin/python -m pip install --quiet --requirement tests/transformer/requirements.txt \
		--constraint tests/transformer/constraints.txt
	@touch $@
