"""What the local platform carries: calls for a job's status, and lines of fifty jobs that print as fast as they can."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx

from benchmarks.jobs import project
from benchmarks.measuring import ROOT
from benchmarks.results import Goal, Result, number
from truss_train_core import Client, push
from truss_train_core.api.models import TrainingJob
from truss_train_core.jobs import find, wait_all
from truss_train_core.local import joblogs
from truss_train_core.testing import LocalPlatform

CONNECTIONS = 4
ROUNDS = 5
JOBS = 50
CONSTANT = """
import sys, uvicorn
body = sys.argv[2].encode()
start = {"type": "http.response.start", "status": 200, "headers": [
    (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]}
async def app(scope, receive, send):
    await send(start)
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", lifespan="off", access_log=False, server_header=False)
"""
PRINTER = """
import os, sys, time
count, go = int(sys.argv[1]), sys.argv[2]
text = "loss 0.123456 grad_norm 0.731 lr 0.0002 tokens/s 182031"
print("ready", flush=True)
while not os.path.exists(go):
    time.sleep(0.01)
for step in range(count):
    sys.stdout.write(f"{time.time()} step {step} {text}\\n")
    sys.stdout.flush()
"""


def measure(quick: bool) -> Result:
    span, lines = (1.0, 100) if quick else (10.0, 4000)
    jobs = 5 if quick else JOBS
    with TemporaryDirectory(prefix="bench-platform-") as directory:
        reads, constant = _reads(Path(directory, "reads"), span)
        logged, log_delays = _logged(Path(directory, "logs"), jobs, lines)
        written = _written(Path(directory, "files"), jobs, lines)
    return Result(
        title=f"Status reads on {CONNECTIONS} connections, and lines of {jobs} jobs at once, on a local platform",
        goals=(
            Goal("status reads a second, of uvicorn's with a constant", reads[0] / constant[0], 1 / 4, at_least=True),
            Goal("lines a second, of those written to files", logged / written, 1 / 4, at_least=True),
        ),
        columns=("", "a second", "99th percentile"),
        table=[
            ("status reads", number(reads[0]), f"{number(reads[1] * 1000)} ms"),
            ("uvicorn with a constant answer of that size", number(constant[0]), f"{number(constant[1] * 1000)} ms"),
            ("log lines", number(logged), f"in the log after {number(log_delays)} s"),
            ("lines written to files", number(written), ""),
        ],
        remark=f"Each job prints {lines:,} lines as fast as it can, each written at once; writers of files do, too. "
        "Jobs, their supervisors and whoever asks share the cores with the server.",
    )


# ---------------------------------------------------------------- status reads


def _reads(directory: Path, span: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Calls a second and their 99th percentile in seconds, of the platform and of uvicorn with a constant."""
    with (
        LocalPlatform.started(directory, capacity={"CPU": 0}) as platform,
        Client(platform.remote) as client,
    ):
        job = _push(client, platform, directory.parent / "source", "true")
        path, key = f"/v1/training_projects/{job.training_project_id}/jobs/{job.id}", platform.remote.authorization
        body = httpx.get(platform.remote.api_url + path, headers={"Authorization": key}, trust_env=False).text
        with _constant(body) as port:
            urls = (platform.remote.api_url, f"http://127.0.0.1:{port}")
            for url in urls:
                _load(url, path, key, span / 5)
            took: dict[str, list[float]] = {url: [] for url in urls}
            for _ in range(ROUNDS):  # in turns, so that whatever else the machine does meanwhile meets both alike
                for url in urls:
                    took[url] += _load(url, path, key, span / ROUNDS)
            reads, constant = ((len(each) / span, sorted(each)[len(each) * 99 // 100]) for each in took.values())
            return reads, constant


@contextmanager
def _constant(body: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", CONSTANT, str(port), body]) as server:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield port
        finally:
            server.terminate()


def _load(url: str, path: str, key: str, span: float) -> list[float]:
    """How long each call took, in seconds."""
    server = urlsplit(url)
    command = [sys.executable, "-m", "benchmarks.load", str(server.hostname), str(server.port), path, key, str(span)]
    asking = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(CONNECTIONS)]
    return [seconds for each in asking for seconds in json.loads(each.communicate()[0])]


# ---------------------------------------------------------------- log lines


def _logged(directory: Path, count: int, lines: int) -> tuple[float, float]:
    """Lines a second until the last is in its log, and after how many seconds 99 of 100 are."""
    go = directory.parent / "go"
    with (
        LocalPlatform.started(directory, capacity={"CPU": count}) as platform,
        Client(platform.remote) as client,
    ):
        command = f"python printer.py {lines} {go}"
        started = [_push(client, platform, directory.parent / "source", command) for _ in range(count)]
        logs = [joblogs.path_of(platform.data_dir / "jobs" / job.id, 0) for job in started]
        while not all(log.exists() and b"ready" in log.read_bytes() for log in logs):
            time.sleep(0.2)
        began = time.time()
        go.touch()
        client.run(wait_all(started))
        go.unlink()
        moments = [moment for log in logs for moment in _moments(log)]
    assert len(moments) == count * lines, f"{len(moments)} of {count * lines} lines are in the logs"
    delays = sorted(logged - printed for printed, logged in moments)
    return len(moments) / (max(logged for _, logged in moments) - began), delays[len(delays) * 99 // 100]


def _moments(log: Path) -> Iterator[tuple[float, float]]:
    """When each line of a log was printed, and when it was written there."""
    for line in map(joblogs.parse, log.read_bytes().splitlines(keepends=True)):
        if " step " in line.message:
            yield float(line.message.split()[0]), int(line.timestamp) / 1e9


def _push(client: Client, platform: LocalPlatform, source: Path, command: str) -> TrainingJob:
    source.mkdir(exist_ok=True)
    (source / "printer.py").write_text(PRINTER)
    return client.run(find(push(project(command), platform.remote, source_dir=source)["id"]))


def _written(directory: Path, count: int, lines: int) -> float:
    """Lines a second of processes that write to files."""
    directory.mkdir()
    go = directory / "go"
    files = [directory / f"{number}.log" for number in range(count)]
    writing = [_writer(file, lines, go) for file in files]
    while not all(b"ready" in file.read_bytes() for file in files):
        time.sleep(0.2)
    began = time.time()
    go.touch()
    for each in writing:
        assert each.wait() == 0
    last = max(float(file.read_text().rpartition("\n")[0].rpartition("\n")[2].split()[0]) for file in files)
    return count * lines / (last - began)


def _writer(file: Path, lines: int, go: Path) -> subprocess.Popen[bytes]:
    command: Sequence[str] = [sys.executable, "-c", PRINTER, str(lines), str(go)]
    with file.open("wb") as output:
        return subprocess.Popen(command, stdout=output)
