# Every chore of this repository. Each target installs what it needs on a machine that has Python, git and make.
PYTHON ?= python3
ENGINE ?= core
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test test-slow check format bench lock clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(READY) ## train, interrupt, resume, choose, deploy and ask a model on this machine (ENGINE=core)
	@$(BIN)/python demos/$(ENGINE).py

test: $(READY) ## the tests, in a few minutes
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(READY) ## the tests that kill, wait and measure
	$(BIN)/pytest -n 2 --dist loadfile -m slow

check: $(READY) ## style, types, and the rules of the house
	$(BIN)/pre-commit run --all-files --show-diff-on-failure

format: $(READY) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format --quiet

bench: $(READY) ## measure what the documentation claims
	$(BIN)/python benchmarks/push_memory.py
	$(BIN)/python benchmarks/import_time.py

# Locks hold versions and hashes but no index, so that they install behind any mirror. Releases younger than
# LOCK_BEFORE are not considered: a month to be found out.
LOCK_BEFORE ?= 2026-10-25
COMPILE = $(CURDIR)/$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --quiet \
	--exclude-newer $(LOCK_BEFORE) --custom-compile-command "make lock" --output-file requirements.lock

lock: $(READY) ## resolve the dependencies of all three distributions anew
	$(COMPILE) --python-version 3.10 --all-extras --group dev
	for engine in airflow prefect; do \
		(cd integrations/$$engine && $(COMPILE) --python-version 3.10 --group dev --no-emit-package truss-train-core) || exit 1; \
	done

clean: ## remove what the other targets made
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "truss-train needs Python 3.10 or newer; set PYTHON=…")'
	@echo "Installing into .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet "$$(grep -oE '^uv==[^ ]+' requirements.lock)" 2>.venv/pip.log \
		|| (cat .venv/pip.log; exit 1)
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@
