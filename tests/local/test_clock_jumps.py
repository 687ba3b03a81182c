"""Somebody sets this machine's clock, by hours, while jobs run, a server serves and a client waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from running_jobs import wait_for

from truss_train_core import Client, jobs
from truss_train_core.api import endpoints
from truss_train_core.api.clock import Clock
from truss_train_core.api.models import TrainingJob
from truss_train_core.definitions import CheckpointingConfig, Image, Runtime, TrainingProject
from truss_train_core.definitions import TrainingJob as Definition
from truss_train_core.pushing import push_flow
from truss_train_core.testing import LocalPlatform
from truss_train_core.waiting import Limits

HOURS = 3600.0
FOLLOWS_A_FILE = """
import pathlib, time
_really, _offset = time.time, pathlib.Path({offset!r})
time.time = lambda: _really() + float(_offset.read_text())
time.time_ns = lambda: int(time.time() * 1e9)
"""
SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the clock of this process, and of all that are started from now on, so many seconds ahead."""
    offset, really = tmp_path / "offset", time.time

    def ahead(seconds: float) -> None:
        replacement = tmp_path / "offset.new"
        replacement.write_text(str(seconds))
        replacement.replace(offset)

    ahead(0.0)
    (tmp_path / "sitecustomize.py").write_text(FOLLOWS_A_FILE.format(offset=str(offset)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(time, "time", lambda: really() + float(offset.read_text()))
    return ahead


@pytest.fixture
def platform(tmp_path: Path, set_clock: SetClock) -> Iterator[LocalPlatform]:
    with LocalPlatform.started(tmp_path / "platform", stop_grace=20.0) as platform:
        yield platform


def push(client: Client, source: Path, *commands: str) -> TrainingJob:
    source.mkdir(exist_ok=True)
    runtime = Runtime(start_commands=list(commands), checkpointing_config=CheckpointingConfig(enabled=True))
    job = Definition(image=Image(base_image="python:3.12"), runtime=runtime)
    return client.run(push_flow(TrainingProject(name="clocks", job=job), source)).job


def waits_for(name: str) -> str:
    return f"while [ ! -e ~/{name} ]; do sleep 0.05; done"


@pytest.mark.slow
def test_no_job_ends_and_no_wait_stops_when_the_clock_is_set(
    platform: LocalPlatform, set_clock: SetClock, tmp_path: Path
) -> None:
    with Client(platform.remote) as client:
        job = push(
            client,
            tmp_path / "source",
            "mkdir $BT_CHECKPOINT_DIR/checkpoint-1; echo weights > $BT_CHECKPOINT_DIR/checkpoint-1/model.bin",
            *(f"echo step {step}; {waits_for(f'go-{step}')}" for step in range(3)),
            "echo the end",
        )
        home = platform.data_dir / "jobs" / job.id / "work/rank-0/root"

        def log() -> list[str]:
            return [line.message for line in client.run(jobs.fetch_log(job))]

        def presigned() -> str | None:
            files = client.send(endpoints.list_checkpoint_files(job.training_project_id, job.id)).presigned_urls
            return files[0].url if files else None

        waited: list[TrainingJob] = []
        waiting = threading.Thread(
            target=lambda: waited.append(client.run(jobs.follow(job, limits=Limits(timeout=300.0), pace=jobs.LIVE)))
        )
        waiting.start()
        url = wait_for(presigned, "the checkpoint is copied", 60)
        for step, ahead in enumerate((5 * HOURS, -5 * HOURS, 0.0)):
            wait_for(lambda: f"step {step}\n" in log(), f"step {step}", 60)  # noqa: B023
            set_clock(ahead)
            assert httpx.get(url).text == "weights\n"
            assert client.run(jobs.fetch(job.training_project_id, job.id)).current_status == "TRAINING_JOB_RUNNING"
            assert waiting.is_alive()
            (home / f"go-{step}").touch()
        waiting.join(120)
        steps = [line for line in log() if line.startswith("step ") or line == "the end\n"]

    assert [each.current_status for each in waited] == ["TRAINING_JOB_COMPLETED"]
    assert steps == ["step 0\n", "step 1\n", "step 2\n", "the end\n"]


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [5 * HOURS, -5 * HOURS])
def test_a_job_that_is_stopped_after_the_clock_was_set_saves_its_last_checkpoint(
    platform: LocalPlatform, set_clock: SetClock, tmp_path: Path, ahead: float
) -> None:
    saves = "trap 'mkdir $BT_CHECKPOINT_DIR/last; echo s > $BT_CHECKPOINT_DIR/last/model.bin; exit 0' TERM; "
    with Client(platform.remote) as client:
        job = push(client, tmp_path / "source", f"{saves} echo ready; {waits_for('never')}")
        wait_for(lambda: "ready\n" in [line.message for line in client.run(jobs.fetch_log(job))], "ready", 60)
        set_clock(ahead)
        client.run(jobs.stop(job))
        stopped = client.run(jobs.wait(job, limits=Limits(timeout=120.0), pace=jobs.LIVE))
        answer = client.send(endpoints.list_checkpoints(job.training_project_id, job.id))

    assert stopped.current_status == "TRAINING_JOB_STOPPED"
    assert [each.checkpoint_id for each in answer.checkpoints] == ["last"]


@pytest.mark.parametrize("ahead", [5 * HOURS, -5 * HOURS])
def test_the_clock_of_clients_and_servers_tells_how_much_time_has_passed(
    monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    clock, really = Clock(), time.time
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: really() + ahead)

    assert 0 <= clock.now() - before < 60
    assert abs(Clock().now() - really() - ahead) < 60
