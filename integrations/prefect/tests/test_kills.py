"""Whatever kills the flow's process, there is one job per attempt, and running the flow again ends well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from looking import eventually, jobs_of_flow_run
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.states import AwaitingRetry, Cancelling
from project import BLOCK, CONFIG

from prefect_truss_train import train_and_deploy
from prefect_truss_train.cancellation import AttentiveClock
from truss_train_core import Client, Clock
from truss_train_core.api import endpoints
from truss_train_core.api.models import Deployment
from truss_train_core.testing import LocalPlatform

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("platform")]

SUPPORT = Path(__file__).parent / "support"
CREATE = ("POST", r"/jobs$")
WAIT = ("POST", r"/training_jobs/search$")
GRAPHQL = ("POST", r"/graphql/$")
LOOK = ("GET", r"/deployments/[^/]+$")


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(("before", *CREATE, "1"), id="before the job is created"),
        pytest.param(("after", *CREATE, "1"), id="while the job is created"),
        pytest.param(("before", *WAIT, "1"), id="after the job was created"),
        pytest.param(("before", *WAIT, "2"), id="while it waits"),
        pytest.param(("after", *GRAPHQL, "2"), id="while the deployment is created"),
        pytest.param(("after", *LOOK, "1"), id="while it waits for the deployment"),
    ],
)
def test_after_a_sigkill_the_same_flow_run_ends_with_one_job_and_one_deployment(
    client: Client, kill: tuple[str, ...]
) -> None:
    flow_run_id = _new_flow_run()
    assert _run(flow_run_id, *kill) == -signal.SIGKILL
    assert len(jobs_of_flow_run(client, flow_run_id)) <= 1
    assert _run(flow_run_id) == 0

    (job,) = jobs_of_flow_run(client, flow_run_id)
    assert job.succeeded
    assert len(_deployments_of(client, job.id)) == 1
    assert _state(flow_run_id).is_completed()


def test_a_cancelled_run_of_a_served_flow_stops_its_job(client: Client, tmp_path: Path) -> None:
    with _served("cancelled") as (name, _):
        flow_run = run_deployment(name, parameters=_parameters(hold=tmp_path / "go"), timeout=0)
        job = eventually(lambda: jobs_of_flow_run(client, flow_run.id), within=120)[0]
        with get_client(sync_client=True) as prefect:
            prefect.set_flow_run_state(flow_run.id, Cancelling(), force=True)
        eventually(lambda: _job(client, flow_run.id).is_terminal)
        eventually(lambda: _state(flow_run.id).is_cancelled())
    assert _job(client, flow_run.id).id == job.id
    assert _job(client, flow_run.id).current_status == "TRAINING_JOB_STOPPED"


def test_a_crashed_run_of_a_served_flow_leaves_its_job_and_takes_it_up_again(client: Client, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with _served("crashed") as (name, runner):
        flow_run = run_deployment(name, parameters=_parameters(hold=go), timeout=0)
        eventually(lambda: jobs_of_flow_run(client, flow_run.id), within=120)
        _kill_the_flow_of(runner)
        eventually(lambda: _state(flow_run.id).is_crashed())
        assert not _job(client, flow_run.id).is_terminal
        with get_client(sync_client=True) as prefect:
            prefect.set_flow_run_state(flow_run.id, AwaitingRetry(), force=True)
        go.touch()
        eventually(lambda: _state(flow_run.id).is_completed(), within=180)
    assert _job(client, flow_run.id).succeeded


def test_an_outage_of_the_api_of_five_minutes_ends_no_wait(
    client: Client, platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(minutes=5)
    patient = Client(platform.remote, share=3.0, clock=Quick(), transport=outage)
    monkeypatch.setattr("prefect_truss_train.training_run.client_for", lambda remote: patient)

    state = train_and_deploy(CONFIG, credentials=BLOCK, return_state=True)
    assert state.is_completed()
    assert outage.over
    (job,) = jobs_of_flow_run(client, state.state_details.flow_run_id)
    assert job.succeeded


# ---------------------------------------------------------------- time and faults

QUICKER = 20
"""Seconds that pass for the flow in a second."""


class Quick(AttentiveClock):
    def now(self) -> float:
        return START + (time.time() - START) * QUICKER

    def sleep(self, seconds: float) -> None:
        Clock.sleep(self, seconds / QUICKER)


START = time.time()


class Outage:
    """A transport over which nothing is reached for a while, from the second look at the job on."""

    def __init__(self, *, minutes: float) -> None:
        import httpx

        self._inner = httpx.HTTPTransport()
        self._seconds = minutes * 60 / QUICKER
        self._looks = 0
        self._until: float | None = None

    @property
    def over(self) -> bool:
        return self._until is not None and time.monotonic() > self._until

    def handle_request(self, request):
        import httpx

        self._looks += request.url.path.endswith("/training_jobs/search")
        if self._looks == 2 and self._until is None:
            self._until = time.monotonic() + self._seconds
        if self._until is not None and not self.over:
            raise httpx.ConnectError("no route to host (injected)", request=request)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


# ---------------------------------------------------------------- processes


def _parameters(hold: Path | None = None) -> dict[str, object]:
    config = _held_config(hold) if hold else CONFIG
    return {"config": str(config), "credentials": BLOCK, "deploy_config": None if hold else CONFIG}


def _held_config(hold: Path) -> Path:
    """A copy of the training that waits for a file after its first step."""
    import shutil

    folder = hold.parent / "training"
    shutil.copytree(Path(CONFIG).parent, folder)
    config = folder / "config.py"
    config.write_text(config.read_text().replace('{"STEPS": "4"}', f'{{"STEPS": "4", "HOLD_AT": "1:{hold}"}}'))
    return config


def _new_flow_run() -> UUID:
    with get_client(sync_client=True) as client:
        return client.create_flow_run(train_and_deploy, parameters=_parameters()).id


def _run(flow_run_id: UUID, *kill: str) -> int:
    command = [sys.executable, str(SUPPORT / "killed_flow.py"), str(flow_run_id), *kill]
    return subprocess.run(command, env=os.environ, timeout=240, check=False).returncode


@contextmanager
def _served(name: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    process = subprocess.Popen([sys.executable, str(SUPPORT / "served_flow.py"), name])
    full_name = f"train-and-deploy/{name}"
    try:
        eventually(lambda: _is_deployed(full_name), within=120)
        yield full_name, process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _is_deployed(name: str) -> bool:
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(name)
        except ObjectNotFound:
            return False
    return True


def _kill_the_flow_of(runner: subprocess.Popen[bytes]) -> None:
    """End the process in which a runner runs its only flow run, and leave the runner alone."""
    children = psutil.Process(runner.pid).children(recursive=True)
    (child,) = (child for child in children if "spawn_main" in " ".join(child.cmdline()))
    child.kill()


# ---------------------------------------------------------------- looking


def _state(flow_run_id: UUID) -> State:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
        assert state
        return state


def _job(client: Client, flow_run_id: UUID):
    (job,) = jobs_of_flow_run(client, flow_run_id)
    return job


def _deployments_of(client: Client, job_id: str) -> list[Deployment]:
    """The deployments, of all models, that were made from a checkpoint of this job."""
    found = []
    for model in client.send(endpoints.list_models()).models:
        for deployment in client.send(endpoints.list_deployments(model.id)).deployments:
            config = client.send(endpoints.get_deployment_config(model.id, deployment.id)).raw_config or ""
            found += [deployment] if job_id in config else []
    return found
