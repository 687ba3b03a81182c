"""Choosing the best of a hundred checkpoints of 2 GB each: what is read of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import httpx

from benchmarks.jobs import project
from benchmarks.results import Goal, Growth, Result, seconds
from truss_train_core import Client, checkpoints, push
from truss_train_core.api.models import TrainingJob
from truss_train_core.jobs import find
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE
from truss_train_core.local.runner import CheckpointIndex, StoredCheckpoint, StoredFile
from truss_train_core.testing import LocalPlatform

SIZE = 2_000_000_000
COUNTS = (10, 100, 1000, 10_000)
HISTORY, METRICS = "trainer_state.json", "metrics.json"
"""The newest of the first tells of all checkpoints; of the second each has its own."""
AWAY = 0.03
"""Seconds to an object store and back, which the platform beside it does not take."""


def measure(quick: bool) -> Result:
    counts = COUNTS[:1] if quick else COUNTS
    at = counts[0] if quick else 100
    found = {
        file: {count: _chosen(file, count) for count in counts if file == HISTORY or count <= 1000}
        for file in (HISTORY, METRICS)
    }
    worst = max(found[file][at].bytes for file in found) / (at * SIZE)
    return Result(
        title=f"Choosing the best of {at} checkpoints of {SIZE / 1e9:.0f} GB each",
        goals=(
            Goal("bytes, of those of the checkpoints", worst, 1e-4),
            Goal("calls at once, where each has a file of its own", found[METRICS][at].at_once, 4, "", at_least=True),
        ),
        columns=("", "calls", "most at once", "bytes", "wall", f"wall, {seconds(AWAY)} away"),
        table=[
            (
                f"a metric in `{file}`",
                f"{each[at].calls}",
                f"{each[at].at_once}",
                f"{each[at].bytes:,}",
                seconds(each[at].wall),
                seconds(each[at].wall_away),
            )
            for file, each in found.items()
        ],
        growths=[
            Growth(f"{what} with `{file}`", unit, {count: getattr(cost, key) for count, cost in each.items()})
            for file, each in found.items()
            for what, unit, key in (
                ("calls", "", "calls"),
                ("bytes", "", "bytes"),
                ("wall time", "s", "wall"),
                (f"wall time, {seconds(AWAY)} away,", "s", "wall_away"),
            )
            if len(each) > 1
        ],
        remark="Answers of the API count among the bytes. The checkpoints are sparse files behind a local platform.",
    )


@dataclass(frozen=True)
class Cost:
    """What a choice cost; `wall` and `wall_away` in seconds, from beside the platform and from farther away."""

    calls: int
    at_once: int
    bytes: int
    wall: float
    wall_away: float


class Counting(httpx.HTTPTransport):
    """A transport that knows what went through it, and holds up each call for some seconds."""

    def __init__(self, away: float = 0.0) -> None:
        super().__init__()
        self.calls = self.bytes = self.at_once = 0
        self._away = away
        self._open = 0
        self._lock = Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.calls += 1
            self._open += 1
            self.at_once = max(self.at_once, self._open)
        try:
            time.sleep(self._away)
            response = super().handle_request(request)
            response.read()
        finally:
            with self._lock:
                self._open -= 1
        with self._lock:
            self.bytes += len(response.content)
        return response


def _chosen(file: str, count: int) -> Cost:
    with _stored(file, count) as (platform, job):
        counting = Counting()
        wall = _seconds(platform, job, counting, f"checkpoint-{count // 2}")
        wall_away = _seconds(platform, job, Counting(AWAY), f"checkpoint-{count // 2}")
    return Cost(counting.calls, counting.at_once, counting.bytes, wall, wall_away)


def _seconds(platform: LocalPlatform, job: TrainingJob, transport: Counting, best: str) -> float:
    with Client(platform.remote, transport=transport) as client:
        began = time.perf_counter()
        choice = client.run(checkpoints.find_best([job], "eval_loss", "min"))
        took = time.perf_counter() - began
    assert choice.checkpoint.checkpoint_id == best, choice.reason
    return took


@contextmanager
def _stored(file: str, count: int) -> Iterator[tuple[LocalPlatform, TrainingJob]]:
    """A job that never runs, and its checkpoints in the store, as a supervisor would have put them there."""
    with (
        TemporaryDirectory(prefix="bench-choosing-") as directory,
        LocalPlatform.started(Path(directory, "platform"), capacity={"CPU": 0}) as platform,
        Client(platform.remote) as client,
    ):
        source = Path(directory, "source")
        source.mkdir()
        (source / "train.py").touch()
        job = client.run(find(push(project("python train.py"), platform.remote, source_dir=source)["id"]))
        store = platform.data_dir / "checkpoints" / job.training_project_id / job.id
        history = [{"step": step, "eval_loss": abs(step - count // 2) + 0.5} for step in range(1, count + 1)]
        stored = tuple(_store(store, step, file, history) for step in range(1, count + 1))
        (store / INDEX_FILE).write_text(CheckpointIndex(checkpoints=stored).model_dump_json())
        yield platform, job


def _store(store: Path, step: int, file: str, history: list[dict[str, float]]) -> StoredCheckpoint:
    name = f"checkpoint-{step}"
    folder = store / "rank-0" / name
    folder.mkdir(parents=True)
    head = json.dumps({"w": {"dtype": "U8", "shape": [0], "data_offsets": [0, SIZE]}}).encode()
    with (folder / "model.safetensors").open("wb") as weights:
        weights.write(len(head).to_bytes(8, "little") + head)
        weights.truncate(8 + len(head) + SIZE)
    if file == METRICS:
        (folder / file).write_text(json.dumps(history[step - 1]))
    elif step in (len(history), len(history) // 2):  # the newest, which is read, and the best, which is looked into
        (folder / file).write_text(json.dumps({"global_step": step, "log_history": history[:step]}))
    made = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=step)
    files = [
        StoredFile(path=f"{name}/{path.name}", rank=0, size_bytes=path.stat().st_size, last_modified=made)
        for path in sorted(folder.iterdir())
    ]
    return StoredCheckpoint.model_validate(
        {"name": name, "kind": "full", "created_at": made, "complete": True, "files": files}
    )
