"""Training jobs: create, look at, find, change, stop, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, model_validator
from sqlalchemy import ColumnElement

from truss_train_core.api import models
from truss_train_core.api.models import JobStatus
from truss_train_core.definitions import AvailabilityModel
from truss_train_core.local.server import answers, lifecycle
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Job
from truss_train_core.local.server.job_bodies import LARGEST
from truss_train_core.local.server.problems import Problem, invalid
from truss_train_core.local.server.routes.projects import find_project


class _Create(BaseModel):
    training_job: dict[str, Any]


class _Update(BaseModel):
    priority: int | None = Field(default=None, ge=-LARGEST, le=LARGEST)
    availability_model: AvailabilityModel | None = None

    @model_validator(mode="after")
    def _something(self) -> _Update:
        if self.priority is None and self.availability_model is None:
            raise ValueError("give a priority, an availability_model, or both")
        return self


def create_job(call: Call) -> Answer:
    return _create(call, call.body(_Create).training_job)


def recreate_job(call: Call) -> Answer:
    """A new job of the same definition and archives; what "latest checkpoint" means is decided anew."""
    with call.platform.database.reading() as session:
        body = lifecycle.find_job(session, call.path["project_id"], call.path["job_id"]).body
    return _create(call, body)


def _create(call: Call, body: Mapping[str, Any]) -> models.JobAnswer:
    with call.platform.database.writing() as session:
        project = find_project(session, call.path["project_id"])
        job = lifecycle.create_job(call.platform, session, project, body)
    lifecycle.admit(call.platform)  # so that the answer already says whether it has to wait
    with call.platform.database.reading() as session:
        return _answer(call, session, job.id)


def list_jobs(call: Call) -> Answer:
    project_id = call.path["project_id"]
    with call.platform.database.reading() as session:
        return models.ProjectJobsAnswer(
            training_project=answers.get_project(session, project_id),
            training_jobs=answers.list_jobs(session, Job.project_id == project_id),
        )


def get_job(call: Call) -> Answer:
    with call.platform.database.looking() as connection:
        job, project = answers.get_job_and_project(connection, call.path["project_id"], call.path["job_id"])
    return models.JobAnswer(training_job=job, training_project=project)


def search_jobs(call: Call) -> Answer:
    search = call.body(models.SearchJobs)
    if any(order.field != "created_at" for order in search.order_by):
        raise invalid("order_by: jobs are sorted by created_at only.")
    where: list[ColumnElement[bool]] = []
    if search.statuses is not None:
        where.append(Job.status.in_(search.statuses))
    if search.project_id is not None:
        where.append(Job.project_id == search.project_id)
    if search.job_id is not None:
        where.append(Job.id == search.job_id)
    oldest_first = bool(search.order_by) and search.order_by[0].order == "asc"
    with call.platform.database.reading() as session:
        return models.JobsAnswer(training_jobs=answers.list_jobs(session, *where, oldest_first=oldest_first))


def stop_job(call: Call) -> Answer:
    """Stop a job; one that has ended stays as it is."""
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        job = lifecycle.find_job(session, call.path["project_id"], call.path["job_id"])
        lifecycle.stop(platform, job)
        return _answer(call, session, job.id)


def update_job(call: Call) -> Answer:
    """Change what the queue goes by, while the job is in it."""
    update = call.body(_Update)
    with call.platform.database.writing() as session:
        job = lifecycle.find_job(session, call.path["project_id"], call.path["job_id"])
        if job.status != JobStatus.PENDING:
            raise Problem(400, f"Job {job.id} is {job.status}: only a pending job can be changed.")
        if update.priority is not None:
            job.priority = update.priority
        if update.availability_model is not None:
            job.availability_model = update.availability_model.value
        job.updated_at = call.platform.now()
        return _answer(call, session, job.id)


def delete_job(call: Call) -> Answer:
    """Delete a job and those of its checkpoints that are not deployed; it is stopped if it runs."""
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        job = lifecycle.find_job(session, call.path["project_id"], call.path["job_id"])
        lifecycle.delete_job(platform, job)
        return answers.DeletedJob(id=job.id, training_project_id=job.project_id)


def _answer(call: Call, session: Any, job_id: str) -> models.JobAnswer:
    session.flush()
    return models.JobAnswer(training_job=answers.get_job(session, call.path["project_id"], job_id))


_JOBS = "/v1/training_projects/{project_id}/jobs"
_JOB = _JOBS + "/{job_id}"
ROUTES = (
    Route("GET", _JOBS, list_jobs),
    Route("POST", _JOBS, create_job),
    Route("GET", _JOB, get_job, in_thread=False),
    Route("PATCH", _JOB, update_job),
    Route("DELETE", _JOB, delete_job),
    Route("POST", _JOB + "/stop", stop_job),
    Route("POST", _JOB + "/recreate", recreate_job),
    Route("POST", "/v1/training_jobs/search", search_jobs),
)
