"""Keys and secrets stay out of every log record, error and output, on both sides of the wire, at every level."""

from __future__ import annotations

import asyncio
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from served_platform import Served, served

from truss_train_core import AsyncClient, Client, jobs
from truss_train_core.api.request import Request
from truss_train_core.api.retry import Retry
from truss_train_core.cli import main, output
from truss_train_core.definitions import (
    Checkpoint,
    CheckpointList,
    Compute,
    DeployCheckpointsConfig,
    DeployCheckpointsRuntime,
    FullCheckpoint,
    Image,
    LocalServer,
    Runtime,
    SecretReference,
    TrainingJob,
    TrainingProject,
)
from truss_train_core.deployments import deploy
from truss_train_core.errors import TrussTrainError
from truss_train_core.pushing import push_once_flow
from truss_train_core.remotes import Remote, write_remote
from truss_train_core.testing import Fault, FaultProxy, scripted

KEY, WRONG_KEY, SECRET = "key-of-the-platform-7Zq", "key-of-somebody-9Xw", "value-of-a-secret-3Vb"
HURRIED = Retry(deadline=2.0, first=0.01, longest=0.05)
USERS = "/v1/users/me"
FAULTS = (
    Fault("answered", "GET", USERS, status=401, body={"message": "Invalid API key"}),
    Fault("answered", "GET", USERS, status=500, body={"message": "broken"}),
    Fault("answered", "GET", USERS, status=302),
    Fault("reset", "GET", USERS),
    Fault("truncated", "GET", USERS),
    Fault("lost", "POST", "/v1/training_projects$"),
)


class Listening(logging.Handler):
    """All that is said to any logger, as it would be written, with what came along."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.name} {self.format(record)} {record.__dict__!r}")


@pytest.fixture
def listening() -> Iterator[Listening]:
    handler, root = Listening(), logging.getLogger()
    names = [name for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)]
    loggers = [root, *map(logging.getLogger, {*names, "httpcore", "httpx", "hpack", "h2", "asyncio", "uvicorn"})]
    before = [(each, each.level, each.disabled) for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
        each.disabled = False
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for each, level, disabled in before:
        each.setLevel(level)
        each.disabled = disabled


@pytest.fixture
def platform(tmp_path: Path, listening: Listening) -> Iterator[Served]:
    """Its server runs in this process, so that its own log is heard too."""
    with served(tmp_path / "platform", api_key=KEY) as platform:
        yield platform


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/train.py").write_text("print('hello')\n")
    return tmp_path / "source"


def remote_of(platform: Served, key: str = KEY) -> Remote:
    return Remote(name="local", api_url=platform.url, web_url=platform.url, key=SecretStr(key))


class Blocking:
    """The blocking client as the tests use both."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def send(self, request: Request[Any]) -> Any:
        with Client(self.remote, retry=HURRIED) as client:
            return client.send(request)

    def run(self, flow: Any) -> Any:
        with Client(self.remote, retry=HURRIED) as client:
            return client.run(flow)


class Awaiting(Blocking):
    def send(self, request: Request[Any]) -> Any:
        async def sent() -> Any:
            async with AsyncClient(self.remote, retry=HURRIED) as client:
                return await client.send(request)

        return asyncio.run(sent())

    def run(self, flow: Any) -> Any:
        async def ran() -> Any:
            async with AsyncClient(self.remote, retry=HURRIED) as client:
                return await client.run(flow)

        return asyncio.run(ran())


def project(name: str) -> TrainingProject:
    runtime = Runtime(start_commands=["true"], environment_variables={"TOKEN": SecretReference(name="token")})
    job = TrainingJob(name=name, image=Image(base_image="python:3.12"), runtime=runtime)
    return TrainingProject(name="digits", job=job)


def deployment_of(job_id: str) -> DeployCheckpointsConfig:
    checkpoint: Checkpoint = FullCheckpoint(training_job_id=job_id, checkpoint_name="checkpoint-1")
    return DeployCheckpointsConfig(
        model_name="digits",
        compute=Compute(cpu_count=1),
        checkpoint_details=CheckpointList(checkpoints=[checkpoint]),
        runtime=DeployCheckpointsRuntime(
            environment_variables={"TOKEN": SecretReference(name="token")},
            local_server=LocalServer(start_command="serve"),
        ),
    )


def failing(call: Callable[[], object]) -> str:
    """All that an error says of itself, its traceback and its causes included; empty where there is none."""
    try:
        call()
    except TrussTrainError as error:
        return f"{error!r} {error} {vars(error)} {''.join(traceback.format_exception(error))}"
    return ""


def live_a_little(platform: Served, client: Blocking, name: str, source: Path) -> list[str]:
    """Push, wait, deploy, and meet every kind of failure; returns what the errors said."""
    client.send(Request("POST", "/v1/secrets", bytes, "a secret", body={"name": "token", "value": SECRET}))
    submitted = client.run(push_once_flow(project(name), source))
    platform.move_on()
    assert SECRET in platform.runner.specs[submitted.job.id].environment.values()
    platform.store(submitted.project.id, submitted.job.id, "checkpoint-1")
    platform.runner.set(submitted.job.id, "completed")
    platform.move_on()
    assert client.run(jobs.wait(submitted.job)).is_terminal
    client.run(deploy(deployment_of(submitted.job.id)))
    platform.move_on()
    errors = []
    for fault in FAULTS:
        with FaultProxy.started(client.remote, scripted(*[fault] * 3)) as proxy:
            behind = type(client)(proxy.remote)
            errors.append(failing(lambda: behind.send(Request("GET", USERS, bytes, "the user"))))  # noqa: B023
            errors.append(failing(lambda: behind.run(push_once_flow(project(f"{name}-again"), source))))  # noqa: B023
    stranger = type(client)(remote_of(platform, WRONG_KEY))
    errors.append(failing(lambda: stranger.send(Request("GET", USERS, bytes, "the user"))))
    platform.runner.refuses = OSError("no space left")
    client.run(push_once_flow(project(f"{name}-refused"), source))
    platform.move_on()
    platform.runner.refuses = None
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Blocking, Awaiting])
def test_no_key_or_secret_is_logged_or_told_by_an_error(
    platform: Served, listening: Listening, source: Path, kind: type[Blocking]
) -> None:
    errors = live_a_little(platform, kind(remote_of(platform)), "digits", source)

    said = "\n".join([*listening.said, *errors])
    assert any(errors)
    assert {"httpcore", "httpx"} <= {record.partition(" ")[0].partition(".")[0] for record in listening.said}
    for secret in (KEY, WRONG_KEY, SECRET):
        assert secret not in said


def test_an_error_of_the_server_s_own_names_no_secret(platform: Served, listening: Listening) -> None:
    """Databases like to repeat the values of a statement that failed."""
    with platform.platform.database.writing() as session:
        session.connection().exec_driver_sql("DROP TABLE secrets")
    answer = platform.http.post("/v1/secrets", json={"name": "token", "value": SECRET})

    assert answer.status_code == 500
    assert any("no such table" in record for record in listening.said)
    assert SECRET not in "\n".join([*listening.said, answer.text])


def test_commands_print_and_log_no_key(
    platform: Served,
    listening: Listening,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRUSS_TRAIN_REMOTE", "local")
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    output.stdout.cache_clear()
    output.stderr.cache_clear()
    config = tmp_path / "config.py"
    config.write_text(
        "from truss_train_core.definitions import *\n"
        "project = TrainingProject(name='digits', job=TrainingJob(image=Image(base_image='python:3.12')))\n"
    )
    for key in (KEY, WRONG_KEY):
        write_remote("local", url=platform.url, api_key=key)
        for command in ("push config.py", "jobs", "jobs --output json", "view", "logs nowhere", "local sign-in"):
            main.invoke(command.replace("config.py", str(config)).split())

    printed = "".join(capfd.readouterr())
    assert "digits" in printed
    assert "Invalid API key" in printed
    for key in (KEY, WRONG_KEY):
        assert key not in printed + "\n".join(listening.said)
