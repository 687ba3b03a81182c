"""Measurements of a job while it runs: one file per rank, one JSON object per line, in the order of time."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import psutil

from truss_train_core.local.runner import Sample

_METRICS_DIRECTORY = "metrics"
_FIRST = 1.0
"""Seconds after which the first sample is taken at the latest, so that short jobs have one too."""
_POINTS = 300
"""About how many samples a series holds where the caller names no step."""
_DISK_DUTY = 0.02
"""The share of the time that may go into adding up the sizes of files."""


def path_of(directory: Path, rank: int) -> Path:
    return directory / _METRICS_DIRECTORY / f"node-{rank}.jsonl"


def read(
    directory: Path, start: datetime | None = None, end: datetime | None = None, step: float | None = None
) -> list[list[Sample]]:
    """For each node of the job in `directory`, in the order of ranks, its samples from `start` to `end`, both included.

    `step` is in seconds: of each such stretch of time the last sample is kept. Without one, a step is derived from the
    length of the series, so that long ones return fewer points (OpenAPI).
    """
    nodes = []
    rank = 0
    while (path := path_of(directory, rank)).exists():
        samples = [
            sample
            for sample in _parse(path)
            if (start is None or sample.timestamp >= start) and (end is None or sample.timestamp <= end)
        ]
        nodes.append(_thin_out(samples, step))
        rank += 1
    return nodes


def read_evenly(directory: Path) -> list[list[Sample]]:
    """For each node, some hundred samples of all it has, the last one among them. The others are not even parsed."""
    nodes: list[list[Sample]] = []
    while (path := path_of(directory, len(nodes))).exists():
        lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"}\n")]
        every = -(-len(lines) // _POINTS) or 1
        nodes.append([Sample.model_validate_json(line) for line in lines[(len(lines) - 1) % every :: every]])
    return nodes


def length(directory: Path) -> int:
    """Bytes of all samples of a job: another number when there are more."""
    return sum(path.stat().st_size for path in (directory / _METRICS_DIRECTORY).glob("*.jsonl"))


def _parse(path: Path) -> Iterator[Sample]:
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"}\n"):
            yield Sample.model_validate_json(line)


def _thin_out(samples: Sequence[Sample], step: float | None) -> list[Sample]:
    if not samples:
        return []
    if step is None:
        step = (samples[-1].timestamp - samples[0].timestamp).total_seconds() / _POINTS
    if step <= 0:
        return list(samples)
    return list({int(sample.timestamp.timestamp() // step): sample for sample in samples}.values())


class Sampler(threading.Thread):
    """Measures the ranks every `interval` seconds, until told to finish.

    Args:
        sessions: for a rank, the sessions its processes are in.
        roots: for each rank, the directory whose size is its disk usage.
        caches: directories whose size is the cache usage; none where the job has no cache.
    """

    def __init__(
        self,
        directory: Path,
        sessions: Callable[[int], frozenset[int]],
        roots: Sequence[Path],
        caches: Sequence[Path],
        *,
        interval: float,
    ) -> None:
        super().__init__(name="sampler", daemon=True)
        self._directory = directory
        self._sessions = sessions
        self._roots = roots
        self._sizes = [_DirectorySize([root]) for root in roots]
        self._cache_size = _DirectorySize(caches) if caches else None
        self._cpu_clocks = [_CpuClock() for _ in roots]
        self._interval = interval
        self._finished = threading.Event()

    def run(self) -> None:
        path_of(self._directory, 0).parent.mkdir(exist_ok=True)
        pause = min(_FIRST, self._interval)
        while not self._finished.wait(pause):
            with contextlib.suppress(OSError, psutil.Error):  # a full disk costs samples, nothing else
                self._measure()
            pause = self._interval

    def finish(self) -> None:
        self._finished.set()
        self.join()

    def _measure(self) -> None:
        utilization, memory = _gpus()
        processes = _descendants_by_session()
        for rank, root in enumerate(self._roots):
            own = [process for session in self._sessions(rank) for process in processes.get(session, ())]
            disk = shutil.disk_usage(root)
            sample = Sample(
                timestamp=datetime.now(timezone.utc),
                cpu_usage=self._cpu_clocks[rank].cores(own),
                cpu_memory_usage_bytes=sum(_memory(process) for process in own),
                disk_usage_bytes=self._sizes[rank].bytes(),
                disk_utilization=disk.used / disk.total,
                cache_usage_bytes=self._cache_size.bytes() if self._cache_size else None,
                gpu_utilization=utilization,
                gpu_memory_usage_bytes=memory,
            )
            with path_of(self._directory, rank).open("a") as file:
                file.write(sample.model_dump_json() + "\n")


class _CpuClock:
    """How many cores a set of processes has used since the last look."""

    def __init__(self) -> None:
        self._looked_at = time.monotonic()
        self._used: dict[psutil.Process, float] = {}

    def cores(self, processes: Iterable[psutil.Process]) -> float:
        now, used = time.monotonic(), {}
        for process in processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used[process] = times.user + times.system
        spent = sum(seconds - self._used.get(process, 0.0) for process, seconds in used.items())
        elapsed, self._looked_at, self._used = now - self._looked_at, now, used
        return spent / elapsed if elapsed > 0 else 0.0


class _DirectorySize:
    """The size of the files in some directories, added up again only as often as that stays cheap."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = directories
        self._size = 0
        self._next_look = 0.0

    def bytes(self) -> int:
        began = time.monotonic()
        if began >= self._next_look:
            self._size = sum(_size_of(directory) for directory in self._directories)
            took = time.monotonic() - began
            self._next_look = began + took / _DISK_DUTY
        return self._size


def _size_of(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - a Path each would be most of the work
    return total


def _descendants_by_session() -> dict[int, list[psutil.Process]]:
    found: dict[int, list[psutil.Process]] = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            found.setdefault(os.getsid(process.pid), []).append(process)
    return found


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _gpus() -> tuple[dict[str, float], dict[str, int]]:
    """Utilization (0 to 1) and used memory (bytes) of each GPU of this machine; empty where there is none."""
    if shutil.which("nvidia-smi") is None:
        return {}, {}
    query = ["nvidia-smi", "--query-gpu=index,utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=5).stdout
        rows = [[field.strip() for field in line.split(",")] for line in answer.splitlines()]
        return {gpu: float(busy) / 100 for gpu, busy, _ in rows}, {gpu: int(mib) << 20 for gpu, _, mib in rows}
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}, {}
