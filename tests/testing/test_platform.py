"""The local platform of tests, and the fixtures that hand it out."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from truss_train_core import Client, RunPlan, definitions, jobs, load_training_project, pushing, runs
from truss_train_core.errors import LocalPlatformError, NotFound
from truss_train_core.testing import FastClock, LocalPlatform, ManualClock, doubles
from truss_train_core.testing.fixtures import local_platform, manual_clock  # noqa: F401


@pytest.mark.slow
def test_a_platform_whose_output_nobody_reads_goes_on(local_platform: LocalPlatform) -> None:  # noqa: F811
    address = urlsplit(local_platform.remote.api_url)
    for _ in range(3000):  # a line of output each
        with socket.create_connection((address.hostname or "", address.port or 0)) as caller:
            caller.sendall(b"nonsense\r\n\r\n")
            caller.recv(100)
    with Client(local_platform.remote) as client:
        assert client.run(jobs.find_active("")) == []
        assert doubles(client) == []


def test_a_platform_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalPlatformError, match=r"did not start: .*file"), LocalPlatform.started(tmp_path / "file"):
        pass


def test_a_spot_job_is_taken_away(local_platform: LocalPlatform, tmp_path: Path) -> None:  # noqa: F811
    definition = definitions.TrainingProject(
        name="taken",
        job=definitions.TrainingJob(
            image=definitions.Image(base_image="python:3.12-slim"),
            compute=definitions.Compute(availability_model="spot"),
            runtime=definitions.Runtime(start_commands=["sleep 600"]),
        ),
    )
    with Client(local_platform.remote) as client:
        job = client.run(pushing.push_flow(definition, tmp_path)).job
        deadline = time.monotonic() + 120
        while job.current_status != "TRAINING_JOB_RUNNING" and time.monotonic() < deadline:
            job = client.run(jobs.fetch(job.training_project_id, job.id))
        local_platform.preempt(job.id)
        assert client.run(jobs.wait(job, pace=jobs.LIVE)).current_status == "TRAINING_JOB_PREEMPTED"
    with pytest.raises(NotFound):
        local_platform.preempt("nowhere")


@pytest.mark.slow
def test_spot_jobs_are_taken_away_once_they_have_a_checkpoint_as_often_as_is_said(
    local_platform: LocalPlatform,  # noqa: F811
) -> None:
    config = Path(__file__).parents[1] / "cli" / "quick" / "config.py"
    project = load_training_project(config).with_parameters({"TAKEN_AWAY": "2"})
    plan = RunPlan(project=project, source_dir=config.parent)
    with Client(local_platform.remote) as client, local_platform.reclaiming("quick", 2) as taken:
        record = client.run(runs.run(plan, runs.new_record(plan, "reclaimed")))
    assert [attempt.cause for attempt in record.attempts] == ["preempted", "preempted", "completed"]
    assert [attempt.job_id for attempt in record.attempts[:2]] == taken
    assert [each.newest and each.newest.name for each in record.attempts[:2]] == ["checkpoint-1", "checkpoint-2"]


def test_clocks_that_do_not_wait_and_that_wait_less(manual_clock: ManualClock) -> None:  # noqa: F811
    began = manual_clock.now()
    manual_clock.sleep(3600)
    assert manual_clock.now() == began + 3600
    fast = FastClock(1000)
    began = fast.now()
    fast.sleep(60)
    assert fast.now() >= began + 60
