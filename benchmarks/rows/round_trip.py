"""From a submit to an answer of the deployed model, with a training that does nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.jobs import project
from benchmarks.results import Goal, Result, seconds
from truss_train_core import Client
from truss_train_core.api.flows import Event
from truss_train_core.definitions import Compute, DeployCheckpointsConfig, DeployCheckpointsRuntime, LocalServer
from truss_train_core.runs import Best, RecordChanged, RunPlan, new_record, run, run_key
from truss_train_core.testing import LocalPlatform

TRAIN = """
import json, os, pathlib
folder = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"], "checkpoint-1")
folder.mkdir()
(folder / "model.safetensors").write_bytes(b"\\2" + bytes(7) + b"{}")  # of no tensors
state = {"global_step": 1, "log_history": [{"step": 1, "eval_loss": 0.5}]}
(folder / "trainer_state.json").write_text(json.dumps(state))
"""
SERVE = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *_): ...
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def measure(quick: bool) -> Result:
    rounds = 1 if quick else 5
    with (
        TemporaryDirectory(prefix="bench-round-trip-") as directory,
        LocalPlatform.started(Path(directory, "platform")) as platform,
    ):
        source = Path(directory, "source")
        source.mkdir()
        (source / "train.py").write_text(TRAIN)
        server = Path(directory, "serve.py")
        server.write_text(SERVE)
        began_alone = [_alone(source / "train.py", server, Path(directory, f"alone-{n}")) for n in range(rounds)]
        with Client(platform.remote) as client:
            runs = [_run(client, source, server, str(number)) for number in range(rounds)]
    alone = median(began_alone)
    whole = median(sum(phases.values()) for phases in runs)
    return Result(
        title="A run that submits, trains nothing, chooses, deploys and asks the model, on a local platform",
        goals=(Goal("until it answers, beyond what its two processes take alone", whole - alone, 3, "s"),),
        columns=("", "seconds"),
        table=[
            *((name, seconds(median(phases[name] for phases in runs))) for name in runs[0]),
            ("all", seconds(whole)),
            ("the training and the model's server, started by hand", seconds(alone)),
        ],
    )


def _run(client: Client, source: Path, server: Path, key: str) -> dict[str, float]:
    """Seconds of each phase."""
    plan = RunPlan(
        project=project("python train.py", name="nothing"),
        source_dir=source,
        best=Best(metric="loss", mode="min"),
        deploy=DeployCheckpointsConfig(
            model_name=f"nothing-{key}",
            compute=Compute(),
            runtime=DeployCheckpointsRuntime(
                local_server=LocalServer(start_command=f"python {server}", predict_endpoint="/predict")
            ),
        ),
        question={"x": 1},
    )
    moments = [time.perf_counter()]
    phases = ["starting"]

    def keep(event: Event) -> None:
        if isinstance(event, RecordChanged):
            moments.append(time.perf_counter())
            phases.append(str(event.record.phase))

    record = client.run(run(plan, new_record(plan, run_key("round-trip", key))), on_event=keep)
    moments.append(time.perf_counter())
    assert record.phase == "done", record
    taken: dict[str, float] = {}
    for name, before, after in zip(phases, moments[:-1], moments[1:], strict=True):
        taken[name] = taken.get(name, 0.0) + after - before
    return taken


def _alone(train: Path, server: Path, checkpoints: Path) -> float:
    """Seconds that the training takes by itself, and the server until it answers."""
    checkpoints.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {**os.environ, "BT_CHECKPOINT_DIR": str(checkpoints), "PORT": str(port)}
    began = time.perf_counter()
    subprocess.run([sys.executable, train], env=environment, check=True)
    with subprocess.Popen([sys.executable, server], env=environment) as serving:
        try:
            while True:
                try:
                    httpx.post(f"http://127.0.0.1:{port}/predict", json={}, trust_env=False)
                    return time.perf_counter() - began
                except httpx.TransportError:
                    time.sleep(0.005)
        finally:
            serving.terminate()
