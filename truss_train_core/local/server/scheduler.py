"""Which job may start next: a pure function of what waits, what runs and how much there is.

Jobs draw from pools: one for each GPU type, counted in GPUs, and "CPU" for jobs without, counted in cores. Within a
pool the higher priority goes first, then the older job, and nobody overtakes: a large job at the head is not starved by
small ones behind it. Spot and dedicated jobs count alike. A team that is at its limit waits without holding up others.

The capacity of a pool is what `--capacity` or an organization's limit says. A pool of which nothing is said has
`DEFAULT_GPUS` GPUs, or the machine's cores, and lets a job that is larger than that run alone: on a laptop everything
runs, but a sweep of fifty jobs does not run all at once.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from truss_train_core.definitions import Accelerator

CPU = "CPU"
"""The pool of jobs without GPUs."""
DEFAULT_GPUS = 8
"""GPUs of a type that the platform pretends to have where nothing is said: one node's."""


@dataclass(frozen=True)
class Claim:
    """What one job takes, or would take, out of a pool. `seq` counts up: the older job has the lower one."""

    job_id: str
    pool: str
    amount: int
    priority: int = 0
    seq: int = 0
    team_id: str = ""


@dataclass(frozen=True)
class Plan:
    """What to start now, and what to tell the jobs that go on waiting, by job id."""

    start: tuple[str, ...]
    advice: Mapping[str, str]


def plan(
    queued: Iterable[Claim],
    running: Iterable[Claim],
    capacity: Mapping[str, int],
    limits: Mapping[tuple[str, str], int] = MappingProxyType({}),
) -> Plan:
    """Start, in each pool, as many jobs from the head of the queue as fit.

    Args:
        queued: what waits.
        running: what holds capacity.
        capacity: sizes of those pools that something was said of.
        limits: by team and pool, the most that the team may use.
    """
    used: Counter[str] = Counter()
    used_by: Counter[tuple[str, str]] = Counter()
    for claim in running:
        used[claim.pool] += claim.amount
        used_by[claim.team_id, claim.pool] += claim.amount
    start: list[str] = []
    advice: dict[str, str] = {}
    waiting: Counter[str] = Counter()
    held: set[tuple[str, str]] = set()
    in_turn = sorted(queued, key=lambda claim: (-claim.priority, claim.seq))
    sizes = {pool: pool_size(pool, capacity) for pool in {claim.pool for claim in in_turn}}  # cores: a system call each
    for claim in in_turn:
        pool, of_team, need = claim.pool, (claim.team_id, claim.pool), _count(claim.amount, claim.pool)
        size, limit = sizes[pool], limits.get(of_team)
        if pool in capacity and claim.amount > size:
            advice[claim.job_id] = (
                f"This job needs {need}, and the platform has {size}: it cannot start. "
                f"Stop it, or serve with --capacity {pool}={claim.amount}."
            )
        elif limit is not None and claim.amount > limit:
            advice[claim.job_id] = (
                f"This job needs {need}, and its team may use {limit}: it cannot start. Stop it, or raise the limit."
            )
        elif limit is not None and (of_team in held or used_by[of_team] + claim.amount > limit):
            held.add(of_team)
            advice[claim.job_id] = f"Waiting for {need}: its team uses {used_by[of_team]} of the {limit} that it may."
        elif not waiting[pool] and (used[pool] + claim.amount <= size or (not used[pool] and pool not in capacity)):
            used[pool] += claim.amount
            used_by[of_team] += claim.amount
            start.append(claim.job_id)
        else:
            advice[claim.job_id] = (
                f"Waiting for {need}: {used[pool]} of {size} in use, {waiting[pool]} ahead in the queue. "
                f"`truss-train serve --capacity {pool}=N` sets how many there are."
            )
            waiting[pool] += 1
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
