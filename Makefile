# Every chore of this repository. Each target installs what it needs on a machine that has Python, git and make.
PYTHON ?= python3
# Releases younger than this are not considered: a month to be found out.
LOCK_BEFORE ?= 2026-10-25

lock: .venv/bin/uv
	.venv/bin/uv pip compile pyproject.toml --universal --all-extras --group dev --python-version 3.10 \
		--generate-hashes --no-emit-index-url --exclude-newer $(LOCK_BEFORE) \
		--custom-compile-command "make lock" --quiet -o requirements.lock
