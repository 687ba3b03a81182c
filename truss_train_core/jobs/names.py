"""Names by which a job is found again. The API has no idempotency key, so the name carries one. Pure."""

from __future__ import annotations

import hashlib
import json
import re

MAX_LENGTH = 63
"""Longest name, as for a DNS label; the API promises no limit of its own."""


def run_key(*parts: object) -> str:
    """A short key for what identifies a run: an orchestrator's run id, a task id, a map index …

    The same parts give the same key in every process and on every machine; 10 characters of [0-9a-f].
    """
    text = json.dumps([str(part) for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def job_name(base: str | None, key: str, attempt: int) -> str:
    """The name of a run's attempt: "<base>-<key>-<attempt>", of [a-z0-9-] and at most `MAX_LENGTH` characters.

    Args:
        base: what a person calls the job, or None; shortened and rewritten where it has to be.
        key: from `run_key`.
        attempt: from 1.
    """
    mark = f"-{key}-{attempt}"
    readable = re.sub(r"[^a-z0-9]+", "-", (base or "job").lower())[: MAX_LENGTH - len(mark)].strip("-")
    return f"{readable or 'job'}{mark}"


def attempt_of(name: str) -> tuple[str, int] | None:
    """The run's key and the attempt that a name carries; None for a name that `job_name` did not make.

    A key is one from `run_key`, or of 16 characters: Prefect's begins with one of a flow run and ends with its task's.
    """
    match = re.fullmatch(r".+-([0-9a-f]{10}(?:[0-9a-f]{6})?)-([1-9]\d*)", name)
    return (match[1], int(match[2])) if match else None
