"""Submitting a job: with a name that is a key, exactly once; without, a single create that is never repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from truss_train_core import definitions
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, send
from truss_train_core.api.models import TrainingJob, TrainingProject, UploadCredentials
from truss_train_core.errors import AnswerLost
from truss_train_core.events import JobAdopted, JobSubmitted, TwinStopped
from truss_train_core.jobs.stopping import get, stop
from truss_train_core.once import LATE_CREATE, MAYBE_CREATED, create_once

Upload = Callable[[UploadCredentials], Flow[None]]
"""Stores the archive of the working directory where the credentials say."""


@dataclass(frozen=True)
class Submitted:
    """A job and its project. `created` is False where a job that existed already was adopted."""

    project: TrainingProject
    job: TrainingJob
    created: bool = True


def submit(
    project: definitions.TrainingProject,
    upload: Upload,
    *,
    user_env: Mapping[str, Any] | None = None,
    team_id: str | None = None,
) -> Flow[Submitted]:
    """Create a job. Done twice, it creates two: use `submit_once` where that matters.

    Args:
        project: the definition. A job name in it is a label, not a key.
        upload: stores the archive.
        user_env: what the API is told of the sender.
        team_id: whose project it is; None leaves that to the account.

    Raises:
        AnswerLost: the job may or may not have been created; the message says where to look.
        UploadError, ApiError, Unreachable: nothing was created, apart from the project.
    """
    home = yield from _upsert(project, team_id)
    body = yield from _body(project.job, upload, user_env)
    try:
        job = yield from _create(home, body)
    except MAYBE_CREATED as error:
        named = f"job {project.job.name!r}" if project.job.name else "a job"
        raise AnswerLost(
            f"Project {home.name!r}: {named} was asked for, and the answer was lost: {error}",
            hint="It may run and cost money: look at the project's newest job before you push again.",
        ) from error
    yield from emit(_submitted(home, job))
    return Submitted(home, job)


def submit_once(
    project: definitions.TrainingProject,
    upload: Upload,
    *,
    user_env: Mapping[str, Any] | None = None,
    team_id: str | None = None,
) -> Flow[Submitted]:
    """Create the job of this name, or adopt the one that there is, whatever its status.

    May be killed at any point and called again, in two processes at once too: one job remains. See `once.py`.

    Args:
        project: the definition; `project.job.name` is the key (`job_name` makes one) and must not be None.
        upload: stores the archive; not called where a job is adopted.
        user_env: what the API is told of the sender.
        team_id: whose project it is; None leaves that to the account.

    Raises:
        UploadError, ApiError, Unreachable, AnswerLost: calling again is safe.
    """
    name = project.job.name
    if name is None:
        raise ValueError("submit_once needs a job name that identifies the job")
    home = yield from _upsert(project, team_id)
    once = yield from create_once(
        look=lambda: look_up(home.id, name),
        prepare=lambda: _body(project.job, upload, user_env),
        create=lambda body: _create(home, body),
        drop=_stop_twin,
    )
    yield from emit(_submitted(home, once.value) if once.created else _adopted(home, once.value))
    return Submitted(home, once.value, once.created)


class TwinWatch:
    """Looks once more for twins of a job, when it is a minute old; the oldest of them stays.

    What a process had sent before it died, or what a gateway held back, may be carried out after the next process has
    looked. An instance is for one wait: `jobs.wait(job, companions=[jobs.TwinWatch()])`.
    """

    def __init__(self) -> None:
        self._looked = False

    def __call__(self, job: TrainingJob) -> Flow[None]:
        age = (yield from now()) - job.created_at.timestamp()
        if not self._looked and job.name and not job.is_terminal and age >= LATE_CREATE:
            yield from look_up(job.training_project_id, job.name)
            self._looked = True


def look_up(project_id: str, name: str) -> Flow[TrainingJob | None]:
    """The job of this name: the oldest, if by accident there are several; newer ones are stopped. None: there is none.

    Only for names that carry a key: people may well give one name to several jobs.
    """
    listed = yield from send(endpoints.list_jobs(project_id))
    named = sorted((job for job in listed.training_jobs if job.name == name), key=lambda job: (job.created_at, job.id))
    for twin in named[1:]:
        yield from _stop_twin(twin, named[0])
    return named[0] if named else None


def _upsert(project: definitions.TrainingProject, team_id: str | None) -> Flow[TrainingProject]:
    answer = yield from send(endpoints.upsert_project(project.wire_body(), team_id))
    return answer.training_project


def _body(job: definitions.TrainingJob, upload: Upload, user_env: Mapping[str, Any] | None) -> Flow[dict[str, Any]]:
    """Upload the archive; the create request's body names where it is."""
    credentials = yield from send(endpoints.upload_credentials())
    yield from upload(credentials)
    artifact = {"s3_bucket": credentials.s3_bucket, "s3_key": credentials.s3_key}
    return job.wire_body(artifacts=[artifact], truss_user_env=user_env)


def _create(home: TrainingProject, body: Mapping[str, Any]) -> Flow[TrainingJob]:
    return (yield from send(endpoints.create_job(home.id, body))).training_job


def _stop_twin(twin: TrainingJob, stays: TrainingJob) -> Flow[None]:
    current = yield from get(twin)
    if not current.is_terminal:
        yield from stop(current)
        yield from emit(TwinStopped(job_id=twin.id, job_name=twin.name or "", stays=stays.id))


def _submitted(home: TrainingProject, job: TrainingJob) -> JobSubmitted:
    return JobSubmitted(project_id=home.id, project_name=home.name, job_id=job.id, job_name=job.name)


def _adopted(home: TrainingProject, job: TrainingJob) -> JobAdopted:
    return JobAdopted(
        project_id=home.id, project_name=home.name, job_id=job.id, job_name=job.name, status=job.current_status
    )
