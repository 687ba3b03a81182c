"""A lot of everything: the platform answers in full, and what it needs grows no faster than what it holds."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from served_platform import Served, served

from truss_train_core import Client, Remote, checkpoints, jobs
from truss_train_core.api import endpoints
from truss_train_core.api.models import TrainingJob
from truss_train_core.events import LogLines
from truss_train_core.local.joblogs import LogWriter
from truss_train_core.local.server.scheduler import CPU

JOBS = 10_000
LINES = 1_000_000
CHECKPOINTS = 1_000


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "data", capacity={CPU: 0}) as platform:
        yield platform


@pytest.fixture
def client(platform: Served) -> Iterator[Client]:
    key = SecretStr(platform.platform.api_key)
    with Client(Remote(name="local", api_url=platform.url, web_url=platform.url, key=key)) as client:
        yield client


def copy_job(platform: Served, job_id: str, times: int) -> None:
    """More jobs like this one, straight into the database: what counts is that they are there."""
    with sqlite3.connect(platform.platform.data.database) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)") if row[1] not in ("seq", "id")]
        names = ", ".join(columns)
        for number in range(times):
            copy = f"INSERT INTO jobs (id, {names}) SELECT ?, {names} FROM jobs WHERE id = ?"
            database.execute(copy, (f"j{number:06}", job_id))
    database.close()


@pytest.mark.slow
def test_ten_thousand_waiting_jobs_are_listed_found_and_waited_for(platform: Served, client: Client) -> None:
    project = platform.project()
    job = TrainingJob.model_validate(platform.job(project, name="the-first"))
    copy_job(platform, job.id, JOBS - 1)
    platform.move_on()

    assert len(client.send(endpoints.list_jobs(project)).training_jobs) == JOBS
    everyone = client.send(endpoints.search_jobs()).training_jobs
    assert len({each.id for each in everyone}) == JOBS
    assert client.run(jobs.look_up(project, "nobody")) is None
    assert set(client.run(jobs.poll(everyone))) == {each.id for each in everyone}
    assert platform.status(project, "j009000") == "TRAINING_JOB_PENDING"


@pytest.mark.slow
def test_a_million_lines_and_a_hundred_megabytes_of_log_are_read_whole_in_little_memory(
    platform: Served, client: Client
) -> None:
    project = platform.project()
    job = TrainingJob.model_validate(platform.job(project))
    writer = LogWriter(platform.platform.data.job(job.id), 0)
    text = "x" * 90
    for start in range(0, LINES, 10_000):
        writer.output(f"{number:09} {text}" for number in range(start, start + 10_000))
    writer.close()
    read = 0

    def listen(event: object) -> None:
        nonlocal read
        if isinstance(event, LogLines):
            for line in event.lines:
                assert int(line.message[:9]) == read
                read += 1

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client.run(jobs.read_log(job), on_event=listen)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert read == LINES
    assert grown < 64 * 1024  # KiB, of the client and the server, which share this process


@pytest.mark.slow
def test_a_thousand_checkpoints_are_listed_and_one_is_chosen(platform: Served, client: Client) -> None:
    project = platform.project()
    job = TrainingJob.model_validate(platform.job(project))
    for step in range(CHECKPOINTS):
        platform.store(project, job.id, f"checkpoint-{step}")
    surveyed = client.run(checkpoints.survey(job))
    assert len(surveyed.checkpoints) == CHECKPOINTS
    assert sum(len(files) for files in surveyed.files.values()) == 2 * CHECKPOINTS
    choice = client.run(checkpoints.find_newest([job]))
    assert choice.checkpoint.checkpoint_id == f"checkpoint-{CHECKPOINTS - 1}"


@pytest.mark.parametrize(
    "name", ["проект", "模型训练", "نموذج", "🚀🔥", "e\u0301tude", "a" * 200, "sp ace", "quo'te\"s", "per%20cent"]
)
def test_names_in_any_script_come_back_as_they_were(platform: Served, client: Client, name: str) -> None:
    project = platform.project(name)
    job = TrainingJob.model_validate(platform.job(project, name=name))
    assert client.run(jobs.find_project(name)).id == project
    assert client.run(jobs.look_up(project, name)) == job
    assert platform.look(project, job.id)["training_project"]["name"] == name
