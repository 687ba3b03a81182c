"""Where a push comes from: the state of its git repository and the versions at work, sent along with the job.

Only for the record, so nothing here raises or waits long: what cannot be found out is null.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pydantic

GIT_TIMEOUT = 10.0
"""Seconds that one git command may take; a status over a large tree on a network disk can take minutes."""


def git_info(source_dir: Path) -> dict[str, Any] | None:
    """Commit, nearest tag and cleanliness of the repository around `source_dir`.

    Returns:
        `latest_commit_sha`, `latest_tag` (or None), `commits_since_tag` (or None), `has_uncommitted_changes`; None
        where there is no git, no repository, no commit, or no answer in time. Field names as seen on the wire.
    """
    if (commit := _git(source_dir, "rev-parse", "HEAD")) is None:
        return None
    if (changes := _git(source_dir, "status", "--porcelain")) is None:
        return None
    tag = _git(source_dir, "describe", "--tags", "--abbrev=0")
    since_tag = _git(source_dir, "rev-list", f"{tag}..HEAD", "--count") if tag else None
    return {
        "latest_commit_sha": commit,
        "latest_tag": tag,
        "commits_since_tag": int(since_tag) if since_tag else None,
        "has_uncommitted_changes": bool(changes),
    }


def user_env(source_dir: Path) -> dict[str, Any]:
    """The `truss_user_env` of a job: versions of this client, Python, pydantic and mypy, and `git_info`."""
    return {
        "truss_client_version": _version("truss-train-core"),
        "python_version": platform.python_version(),
        "pydantic_version": pydantic.VERSION,
        "mypy_version": _version("mypy"),
        "git_info": git_info(source_dir),
    }


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
