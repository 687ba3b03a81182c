"""The local platform's server is killed again and again while jobs run: what is promised of every job holds.

    python tests/chaos/survival.py --kills 200 --jobs 20 --seed 1

Each job notes by itself, in its home, what it printed and how it ended; the platform must tell the same.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
from pydantic import SecretStr

from truss_train_core import Client, Remote, Retry, checkpoints, jobs
from truss_train_core.api.request import Request
from truss_train_core.definitions import (
    CheckpointingConfig,
    Compute,
    Image,
    Runtime,
    TrainingJob,
    TrainingProject,
)
from truss_train_core.errors import Rejected, TrussTrainError
from truss_train_core.local.processes.process_family import MARK
from truss_train_core.local.runner import JobState
from truss_train_core.local.statefiles import STATE_FILE, read_json
from truss_train_core.pushing import push_once_flow

T = TypeVar("T")
KINDS = ("completes", "completes", "completes", "fails", "two nodes", "stopped", "preempted", "orphaned")
LINES = 80
WEIGHTS = 1000  # bytes
KEY = "chaos"
WORKER = f"""
import os, pathlib, sys, time
notes = (pathlib.Path.home() / "notes").open("w", buffering=1)
for n in range({LINES}):
    print("line", n, flush=True)
    notes.write(f"{{n}}\\n")
    if n % 20 == 10 and os.environ["BT_NODE_RANK"] == "0":
        folder = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"]) / f"checkpoint-{{n}}"
        folder.mkdir()
        with (folder / "weights.bin").open("wb", buffering=0) as file:
            for _ in range(2):
                file.write(bytes({WEIGHTS} // 2))
                time.sleep(0.1)
        (folder / "config.json").write_text("{{}}")
    time.sleep(0.1)
notes.write("the end\\n")
sys.exit(3 if os.environ["KIND"] == "fails" else 0)
"""
ENDS_AS = {
    "completes": "COMPLETED", "fails": "FAILED", "two nodes": "COMPLETED", "stopped": "STOPPED",
    "preempted": "PREEMPTED", "orphaned": "FAILED",
}  # fmt: skip


class Server:
    """The server's process, which a thread kills and starts again until it is told to leave it alone."""

    def __init__(self, data_dir: Path, seed: int) -> None:
        self.kills = 0
        self._chance = random.Random(seed)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._command = [sys.executable, "-m", "truss_train_core.local", "--data-dir", str(data_dir)]
        self._command += ["--port", str(port), "--api-key", KEY, "--capacity", "CPU=1000", "--stop-grace", "1"]
        url = f"http://127.0.0.1:{port}"
        self.remote = Remote(name="local", api_url=url, web_url=url, key=SecretStr(KEY))
        self.process = self._start()

    def kill(self) -> None:
        """Kill it: now and then before it answers, otherwise a moment after."""
        if self._chance.random() > 0.25:
            self._wait_until_ready()
        time.sleep(self._chance.uniform(0.0, 1.0))
        self.process.kill()
        self.process.communicate()
        self.kills += 1
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _wait_until_ready(self) -> None:
        assert self.process.stdout
        if not self.process.stdout.readline():
            raise AssertionError(f"the server ended by itself: {self.process.communicate()[1].decode()}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


@dataclass
class Watched:
    """A job and what it noted itself."""

    kind: str
    name: str
    data: Path
    project_id: str = ""
    job_id: str = ""
    faults: list[str] = field(default_factory=list)

    def noted(self, rank: int) -> list[str]:
        file = self.data / "jobs" / self.job_id / "work" / f"rank-{rank}" / "root" / "notes"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def ranks(self) -> range:
        return range(2 if self.kind == "two nodes" else 1)


def survive(kills: int, at_once: int, seed: int, directory: Path) -> Counter[str]:
    """Run jobs, `at_once` at a time, until the server was killed so often; returns what went wrong, and how often."""
    source = directory / "source"
    source.mkdir()
    (source / "worker.py").write_text(WORKER)
    server, chance = Server(directory / "data", seed), random.Random(seed + 1)
    watched: list[Watched] = []
    try:
        with Client(server.remote, retry=Retry(deadline=300, first=0.1, longest=1)) as client:
            with killed(server, kills):
                while server.kills < kills:
                    wave = [
                        Watched(KINDS[n % len(KINDS)], f"job-{len(watched) + n}", directory / "data")
                        for n in range(at_once)
                    ]
                    watched += wave
                    with ThreadPoolExecutor(at_once) as threads:
                        list(threads.map(lambda each: live(client, each, source, directory, chance), wave))
                    said(f"{server.kills} of {kills} kills, {len(watched)} jobs")
            for each in watched:
                check(client, each)
    finally:
        server.end()
    for process in processes_of(directory):
        watched[0].faults.append(f"a process was left behind: {process}")
    found = Counter(fault.partition(":")[0] for each in watched for fault in each.faults)
    for each in watched:
        for fault in each.faults:
            said(f"{each.kind} {each.job_id}: {fault}")
    said(f"{server.kills} kills, {len(watched)} jobs ({Counter(each.kind for each in watched)}), wrong: {dict(found)}")
    return found


@contextmanager
def killed(server: Server, kills: int) -> Iterator[None]:
    """Meanwhile, kill the server again and again."""
    over = threading.Event()

    def go_on() -> None:
        while server.kills < kills and not over.is_set():
            server.kill()

    with ThreadPoolExecutor(1) as thread:
        killing = thread.submit(go_on)
        try:
            yield
        finally:
            over.set()
            killing.result()


def live(client: Client, each: Watched, source: Path, directory: Path, chance: random.Random) -> None:
    """Submit a job, do to it what its kind says, and wait for its end."""
    job = TrainingJob(
        name=each.name,
        image=Image(base_image="python"),
        compute=Compute(
            node_count=len(each.ranks), availability_model="spot" if each.kind == "preempted" else "dedicated"
        ),
        runtime=Runtime(
            start_commands=["exec python worker.py"],
            environment_variables={"KIND": each.kind},
            checkpointing_config=CheckpointingConfig(enabled=True),
        ),
    )
    pushed = until_it_works(lambda: client.run(push_once_flow(TrainingProject(name="chaos", job=job), source)))
    each.project_id, each.job_id = pushed.project.id, pushed.job.id
    if each.kind in ("stopped", "preempted", "orphaned"):
        wait_until(lambda: len(each.noted(0)) > chance.randrange(1, LINES // 2))
    if each.kind == "stopped":
        until_it_works(lambda: client.run(jobs.stop(pushed.job)))
    if each.kind == "preempted":
        with suppress(Rejected):  # it has ended: the answer to an earlier call was lost
            until_it_works(lambda: client.send(preemption(each.job_id)))
    if each.kind == "orphaned":
        state = read_json(directory / "data" / "jobs" / each.job_id / STATE_FILE, JobState)
        assert state
        assert state.supervisor_pid
        psutil.Process(state.supervisor_pid).kill()
    until_it_works(lambda: client.run(jobs.wait(pushed.job, pace=jobs.Pace(longest=2))))


def preemption(job_id: str) -> Request[bytes]:
    return Request("POST", f"/v1/local/jobs/{job_id}/preempt", bytes, f"job {job_id}", body={})


def check(client: Client, each: Watched) -> None:
    """Compare what the platform tells with what the job noted."""
    job = client.run(jobs.fetch(each.project_id, each.job_id))
    ended_by_itself = all(each.noted(rank)[-1:] == ["the end"] for rank in each.ranks)
    allowed = {ENDS_AS[each.kind]} | ({"COMPLETED"} if ended_by_itself else set())
    status = job.current_status.removeprefix("TRAINING_JOB_")
    if status not in allowed:
        each.faults.append(f"wrong status: {status}, not {' or '.join(sorted(allowed))}: {job.error_message}")
    if each.kind == "orphaned" and status == "FAILED" and "supervisor" not in (job.error_message or ""):
        each.faults.append(f"no reason: {job.error_message!r}")
    lines = client.run(jobs.fetch_log(job))
    for rank in each.ranks:
        printed = [line.message.strip() for line in lines if line.replica == f"g00r{rank}"]
        numbers = [int(line.removeprefix("line ")) for line in printed if line.startswith("line ")]
        noted = len([note for note in each.noted(rank) if note != "the end"])
        if numbers != list(range(len(numbers))):
            each.faults.append(f"lines lost or repeated: {numbers}")
        if len(numbers) < noted and each.kind != "orphaned":
            each.faults.append(f"lines lost at the end: {noted} were printed, and {len(numbers)} are in the log")
    surveyed = client.run(checkpoints.survey(job))
    whole = 0
    for checkpoint in surveyed.checkpoints:
        if checkpoints.complete(surveyed, checkpoint) is None:
            sizes = {
                file.relative_file_name.rpartition("/")[2]: file.size_bytes
                for file in surveyed.files[checkpoint.checkpoint_id]
            }
            whole += 1
            if sizes != {"weights.bin": WEIGHTS, "config.json": 2}:
                each.faults.append(f"a checkpoint that is not whole: {checkpoint.checkpoint_id} {sizes}")
    if status == "COMPLETED" and whole != LINES // 20:
        each.faults.append(f"checkpoints are missing: {whole} of {LINES // 20}")


def until_it_works(do: Callable[[], T], within: float = 300) -> T:
    deadline = time.monotonic() + within
    while True:
        try:
            return do()
        except TrussTrainError as error:
            if isinstance(error, Rejected) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def wait_until(condition: Callable[[], object], within: float = 300) -> None:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        time.sleep(0.05)


def processes_of(directory: Path) -> list[str]:
    """Processes that were started by jobs, or for them, in this directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(directory) in " ".join([*process.cmdline(), process.cwd(), process.environ().get(MARK, "")]):
                found.append(f"{process.pid} {process.cmdline()}")
        except psutil.Error:
            continue
    return found


def said(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=20, help="at once")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = survive(options.kills, options.jobs, options.seed, Path(directory).resolve())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
