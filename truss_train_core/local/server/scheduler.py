"""Which job may start next: a pure function of what waits, what runs and how much there is.

Jobs draw from pools: one for each GPU type, counted in GPUs, and "CPU" for jobs without, counted in cores. Within a
pool the higher priority goes first, then the older job, and nobody overtakes: a large job at the head is not starved by
small ones behind it. Spot and dedicated jobs count alike.

The capacity of a pool is what `--capacity` or an organization's limit says. A pool of which nothing is said has
`DEFAULT_GPUS` GPUs, or the machine's cores, and lets a job that is larger than that run alone: on a laptop everything
runs, but a sweep of fifty jobs does not run all at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from truss_train_core.definitions import Accelerator

CPU = "CPU"
"""The pool of jobs without GPUs."""
DEFAULT_GPUS = 8
"""GPUs of a type that the platform pretends to have where nothing is said: one node's."""


@dataclass(frozen=True)
class Claim:
    """What one job takes, or would take, out of a pool. `seq` counts up with the job's age."""

    job_id: str
    pool: str
    amount: int
    priority: int = 0
    seq: int = 0


@dataclass(frozen=True)
class Plan:
    """What to start now, and what to tell the jobs that go on waiting, by job id."""

    start: tuple[str, ...]
    advice: Mapping[str, str]


def plan(queued: Iterable[Claim], running: Iterable[Claim], capacity: Mapping[str, int]) -> Plan:
    """Start, in each pool, as many jobs from the head of the queue as fit."""
    used: dict[str, int] = {}
    for claim in running:
        used[claim.pool] = used.get(claim.pool, 0) + claim.amount
    start: list[str] = []
    advice: dict[str, str] = {}
    waiting: dict[str, int] = {}
    for claim in sorted(queued, key=lambda claim: (-claim.priority, claim.seq)):
        pool = claim.pool
        size, in_use, ahead = pool_size(pool, capacity), used.get(pool, 0), waiting.get(pool, 0)
        if pool in capacity and claim.amount > size:
            advice[claim.job_id] = (
                f"This job needs {_count(claim.amount, pool)}, and the platform has {size}: it cannot start. "
                f"Stop it, or serve with --capacity {pool}={claim.amount}."
            )
        elif not ahead and (in_use + claim.amount <= size or (in_use == 0 and pool not in capacity)):
            used[pool] = in_use + claim.amount
            start.append(claim.job_id)
        else:
            waiting[pool] = ahead + 1
            advice[claim.job_id] = (
                f"Waiting for {_count(claim.amount, pool)}: {in_use} of {size} in use, {ahead} ahead in the queue. "
                f"`truss-train serve --capacity {pool}=N` sets how many there are."
            )
    return Plan(tuple(start), advice)


def pool_size(pool: str, capacity: Mapping[str, int]) -> int:
    """How much a pool holds: what was said of it, or its default."""
    return capacity.get(pool, (os.cpu_count() or 1) if pool == CPU else DEFAULT_GPUS)


def parse_capacity(text: str) -> dict[str, int]:
    """Read "H100=8,CPU=4".

    Raises:
        ValueError: it is not of that form, or names neither a GPU type nor CPU.
    """
    pools = [*(gpu.value for gpu in Accelerator), CPU]
    capacity: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([A-Za-z0-9_]+)\s*=\s*(\d+)", part)
        if match is None:
            raise ValueError(f"{part!r} is not of the form TYPE=COUNT, such as H100=8")
        if match[1] not in pools:
            raise ValueError(f"{match[1]!r} is not one of {', '.join(pools)}")
        capacity[match[1]] = int(match[2])
    return capacity


def _count(amount: int, pool: str) -> str:
    if pool == CPU:
        return "1 CPU core" if amount == 1 else f"{amount} CPU cores"
    return f"{amount} {pool}"
