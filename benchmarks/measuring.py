"""Processes and what they cost: wall time, processor time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cost:
    """Of one process, its start included.

    Attributes:
        wall: seconds until it ended.
        processor: seconds, in it and in those of its children that it waited for.
        memory: bytes of its peak.
    """

    wall: float
    processor: float
    memory: float


@dataclass(frozen=True)
class Ratio:
    """How many times another's: the median of rounds, in each of which both met the same machine.

    Attributes:
        low, high: between which it would be over ever so many rounds, in 95 of 100 cases; the extremes where there are
            too few rounds to say.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds: Iterable[float]) -> Ratio:
        """That of the ratios of all rounds."""
        ordered = sorted(rounds)
        count = len(ordered)
        # A round lies below the true median as often as a coin falls on its head: of how many heads at most would one
        # be surprised? So many of the lowest rounds, and of the highest, tell nothing of it.
        surprising = [n for n in range(count) if sum(comb(count, heads) for heads in range(n + 1)) <= 0.025 * 2**count]
        idle = max(surprising, default=0)
        return cls(float(median(ordered)), ordered[idle], ordered[-1 - idle])


@dataclass(frozen=True)
class Costs:
    """Of one side, in all rounds."""

    rounds: tuple[Cost, ...]

    def median(self, what: str) -> float:
        """The median of an attribute of `Cost`."""
        return float(median(getattr(each, what) for each in self.rounds))

    def ratio(self, other: Costs, what: str) -> Ratio:
        """How many times the other's an attribute of `Cost` is."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Ratio.of(getattr(mine, what) / getattr(its, what) for mine, its in pairs)


def python(environment: str = ".venv") -> Path:
    """The interpreter of one of the project's environments."""
    return ROOT / environment / "bin" / "python"


def cost_of(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, directory: Path = ROOT
) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    with TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{words}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def in_turn(sides: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, Costs]:
    """Measure all sides in each round, after one that does not count: it reads files and writes bytecode.

    Every other round goes through the sides backwards, so that a machine that gets slower favours none.
    """
    taken = []
    for number in range(rounds + 1):
        order = list(sides)[:: -1 if number % 2 else 1]
        taken.append({name: sides[name]() for name in order})
    return {name: Costs(tuple(each[name] for each in taken[1:])) for name in sides}


def told_by(module: str, *arguments: object) -> dict[str, Any]:
    """What a module of this package prints as JSON when it is run as a program, in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def used_by_this_process() -> dict[str, float]:
    """Its processor time in seconds, and its memory and peak memory in bytes, so far."""
    spent = time.process_time()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    memory, peak = (int(status[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return {"processor": spent, "memory": memory, "peak": peak}
