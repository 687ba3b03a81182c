"""What `watch` looks at, driven without any I/O, and what it draws."""

import io
import json
from datetime import datetime, timezone

import pytest
from rich.console import Console

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Emit, Pause
from truss_train_core.api.models import JobAnswer, JobsAnswer, ProjectSummary, TrainingJob
from truss_train_core.cli.jobs_view import JobsSeen, JobsView, json_changes, looks
from truss_train_core.errors import NotFound

AT = datetime(2026, 1, 2, tzinfo=timezone.utc)


def job(number: int, status: str = "RUNNING") -> TrainingJob:
    return TrainingJob(
        id=f"j{number}",
        name=f"job-{number}",
        created_at=AT.replace(hour=number),
        updated_at=AT,
        current_status=f"TRAINING_JOB_{status}",
        training_project_id="p1",
        training_project=ProjectSummary(id="p1", name="p"),
    )


def seen(effect: object) -> list[tuple[str, str]]:
    assert isinstance(effect, Emit)
    assert isinstance(effect.event, JobsSeen)
    return [(each.id, each.current_status.removeprefix("TRAINING_JOB_")) for each in effect.event.jobs]


def test_a_job_that_ended_is_asked_after_once_and_stays_in_the_table() -> None:
    flow = looks(None)
    assert next(flow) == endpoints.active_jobs(None)
    assert seen(flow.send(JobsAnswer(training_jobs=[job(1), job(2)]))) == [("j2", "RUNNING"), ("j1", "RUNNING")]
    assert isinstance(flow.send(None), Pause)

    assert flow.send(None) == endpoints.active_jobs(None)
    assert flow.send(JobsAnswer(training_jobs=[job(2)])) == endpoints.get_job("p1", "j1")
    assert seen(flow.send(JobAnswer(training_job=job(1, "COMPLETED")))) == [("j2", "RUNNING"), ("j1", "COMPLETED")]
    assert isinstance(flow.send(None), Pause)

    assert flow.send(None) == endpoints.active_jobs(None)
    assert seen(flow.send(JobsAnswer(training_jobs=[job(2)]))) == [("j2", "RUNNING"), ("j1", "COMPLETED")]


def test_a_job_that_was_deleted_leaves_the_table() -> None:
    flow = looks("p1")
    assert next(flow) == endpoints.active_jobs("p1")
    flow.send(JobsAnswer(training_jobs=[job(1)]))
    flow.send(None)
    flow.send(None)
    flow.send(JobsAnswer(training_jobs=[]))
    assert seen(flow.throw(NotFound("gone", status=404))) == []


def test_a_program_is_told_of_each_change_once(capsys: pytest.CaptureFixture[str]) -> None:
    tell = json_changes()
    for jobs in ((job(2), job(1)), (job(2), job(1)), (job(2, "COMPLETED"), job(1)), (job(2, "COMPLETED"),)):
        tell(JobsSeen(jobs=jobs))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["event"], each["training_job"]["id"], each["training_job"]["current_status"]) for each in lines] == [
        ("JobChanged", "j1", "TRAINING_JOB_RUNNING"),
        ("JobChanged", "j2", "TRAINING_JOB_RUNNING"),
        ("JobChanged", "j2", "TRAINING_JOB_COMPLETED"),
        ("JobDeleted", "j1", "TRAINING_JOB_RUNNING"),
    ]


@pytest.mark.parametrize("width", [40, 120])
def test_the_table_is_drawn_on_every_terminal(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=10, highlight=False)
    with JobsView(console) as view:
        view(JobsSeen(jobs=(job(1),)))
        view(JobsSeen(jobs=()))
    assert "j1" in file.getvalue()
    assert "No job waits or runs" in file.getvalue()
