from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_jobs import INTERVALS, is_running, wait_for

from truss_train_core.local import joblogs
from truss_train_core.local.processes import serving
from truss_train_core.local.runner import ServerSpec, ServerState

SERVER = """
import http.server, os, pathlib, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = pathlib.Path("ready").exists() or "--at-once" in sys.argv
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write((pathlib.Path(os.environ["MODEL_DIR"]) / "weights.txt").read_bytes())

print("loading", os.environ.get("TOKEN"), flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Deployments:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.weights = base / "store/rank-0/checkpoint-2"
        self.weights.mkdir(parents=True)
        (self.weights / "weights.txt").write_text("weights")
        (base / "server.py").write_text(SERVER)
        self.specs: list[ServerSpec] = []

    def start(self, command: str, **fields: Any) -> ServerSpec:
        directory = self.base / "deployments" / f"d{len(self.specs)}"
        spec = ServerSpec.model_validate(
            {
                "deployment_id": directory.name,
                "model_id": "model1",
                "model_name": "digits",
                "directory": directory,
                "weights_root": directory / "weights",
                "weights": ((self.weights, "job1/rank-0/checkpoint-2"),),
                "start_command": command.replace("SERVER", str(self.base / "server.py")),
                "python": Path(sys.executable),
                "readiness_timeout": 30.0,
                **fields,
            }
        )
        self.specs.append(spec)
        serving.start(spec, INTERVALS)
        return spec

    def reached(self, spec: ServerSpec, *phases: str) -> ServerState:
        def look() -> ServerState | None:
            state = serving.status(spec.directory)
            return state if state.phase in phases else None

        return wait_for(look, f"{phases}: {self.log(spec)}")

    def log(self, spec: ServerSpec) -> str:
        return "".join(line.message for line in joblogs.read_window(spec.directory, limit=1000))


@pytest.fixture
def deployments(tmp_path: Path) -> Iterator[Deployments]:
    deployments = Deployments(tmp_path)
    yield deployments
    for spec in deployments.specs:
        state = serving.status(spec.directory)
        if state.phase not in serving.ENDED and state.supervisor_pid:
            os.kill(state.supervisor_pid, signal.SIGKILL)
        deployments.reached(spec, *serving.ENDED)


def ask(port: int | None) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return str(answer.read().decode())


def test_a_deployment_is_active_when_its_readiness_path_answers(deployments: Deployments) -> None:
    spec = deployments.start("python SERVER", environment={"TOKEN": "for the server"})
    deployments.reached(spec, "loading_model")
    wait_for(lambda: "loading for the server\n" in deployments.log(spec), "its log")
    assert serving.status(spec.directory).phase == "loading_model"

    (spec.directory / "work/ready").touch()
    state = deployments.reached(spec, "active")

    assert ask(state.port) == "weights"


def test_the_weights_stay_when_the_store_is_emptied(deployments: Deployments) -> None:
    spec = deployments.start("python SERVER --at-once")
    state = deployments.reached(spec, "active")

    (deployments.weights / "weights.txt").unlink()

    assert ask(state.port) == "weights"


def test_a_stopped_deployment_is_inactive_and_can_be_started_again(deployments: Deployments) -> None:
    spec = deployments.start("python SERVER --at-once")
    pid = deployments.reached(spec, "active").supervisor_pid

    serving.stop(spec.directory)
    state = deployments.reached(spec, "inactive")

    assert (state.port, state.error_message) == (None, None)
    serving.start(spec, INTERVALS)
    assert serving.status(spec.directory).phase != "inactive"
    again = deployments.reached(spec, "active", "deploy_failed")
    assert (again.phase, ask(again.port)) == ("active", "weights")
    assert again.supervisor_pid != pid


def test_starting_what_is_being_served_changes_nothing(deployments: Deployments) -> None:
    spec = deployments.start("python SERVER --at-once")
    state = deployments.reached(spec, "active")

    serving.start(spec, INTERVALS)

    assert serving.status(spec.directory) == state
    assert ask(state.port) == "weights"


def test_a_server_that_ends_before_it_is_ready_has_failed_to_deploy(deployments: Deployments) -> None:
    spec = deployments.start("echo no such model >&2; exit 4")

    state = deployments.reached(spec, "deploy_failed")

    assert "ended with exit code 4" in (state.error_message or "")
    assert (state.error_message or "").endswith("no such model")


def test_a_server_that_is_never_ready_is_killed_and_told_why(deployments: Deployments) -> None:
    spec = deployments.start("echo $$; sleep 60; true", readiness_timeout=0.3, readiness_path="/healthz")

    state = deployments.reached(spec, "deploy_failed")

    assert "did not answer GET /healthz on port" in (state.error_message or "")
    assert not is_running(int((state.error_message or "").splitlines()[-1]))


def test_a_server_that_ends_later_has_failed(deployments: Deployments) -> None:
    spec = deployments.start("python SERVER --at-once & echo $! > pid; wait $!")
    deployments.reached(spec, "active")

    os.kill(int((spec.directory / "work/pid").read_text()), signal.SIGKILL)
    state = deployments.reached(spec, "failed")

    assert "exit code 137 (ended by SIGKILL" in (state.error_message or "")
    assert state.port is None


def test_a_killed_supervisor_takes_its_server_with_it(deployments: Deployments) -> None:
    spec = deployments.start("python SERVER --at-once & echo $! > pid; wait")
    supervisor = deployments.reached(spec, "active").supervisor_pid
    assert supervisor is not None

    os.kill(supervisor, signal.SIGKILL)
    state = deployments.reached(spec, "failed")

    assert f"(process {supervisor}) died" in (state.error_message or "")
    wait_for(lambda: not is_running(int((spec.directory / "work/pid").read_text())), "the server is gone")


def test_stop_is_obeyed_while_the_model_loads(deployments: Deployments) -> None:
    spec = deployments.start("sleep 60")
    deployments.reached(spec, "loading_model")

    serving.stop(spec.directory)

    assert deployments.reached(spec, "inactive", "failed", "deploy_failed").phase == "inactive"
