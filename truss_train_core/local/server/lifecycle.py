"""The life of a job: created, queued, started, watched, stopped, deleted.

`advance` moves everything that can move, and is called a few times a second. It holds nothing in memory between calls:
what it has to do follows from the database and the runner's state files, so after a restart it goes on where it was.
A job is handed to the runner in status CREATED and leaves that status afterwards; killed in between, it is handed over
again, which starts it once.

A status only ever moves forward: PENDING, CREATED, DEPLOYING, RUNNING, then one of the final ones.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from truss_train_core.api.models import JobStatus
from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.runner import JobPhase, JobState
from truss_train_core.local.server.database import Job, Project, Secret, StatusChange, TeamLimit, Upload
from truss_train_core.local.server.job_bodies import JobRequest, read_job
from truss_train_core.local.server.job_specs import job_spec
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import Problem, invalid, missing
from truss_train_core.local.server.references import pin
from truss_train_core.local.server.scheduler import Claim, plan

logger = logging.getLogger(__name__)

STATUS: dict[JobPhase, str] = {
    "submitted": JobStatus.DEPLOYING,
    "deploying": JobStatus.DEPLOYING,
    "running": JobStatus.RUNNING,
    "completed": JobStatus.COMPLETED,
    "deploy_failed": JobStatus.DEPLOY_FAILED,
    "failed": JobStatus.FAILED,
    "stopped": JobStatus.STOPPED,
    "preempted": JobStatus.PREEMPTED,
}
"""What the API calls the phases of a runner's job."""
STARTED = (JobStatus.CREATED, JobStatus.DEPLOYING, JobStatus.RUNNING)
"""Statuses in which a job takes up capacity."""
UNFINISHED = (JobStatus.PENDING, *STARTED)
"""All statuses that are not final, in their order."""
_SYNCING, _SYNCED = "SYNCING", "COMPLETED"
_PENDING = Job.status == JobStatus.PENDING


# ---------------------------------------------------------------- from a request to the queue


def create_job(platform: Platform, session: Session, project: Project, body: Mapping[str, Any]) -> Job:
    """Put a job into the queue. Everything that can be checked is checked first.

    Raises:
        Problem: 400: a field is wrong, a secret or an archive is missing, or there is no such checkpoint.
    """
    request = read_job(body)
    _check_secrets(session, request, project.team_id)
    _check_artifacts(session, request)
    load = request.job.runtime.load_checkpoint_config
    loaded = pin(session, platform.data, load.checkpoints, project.id) if load and load.enabled else ()
    before = session.scalar(select(func.count()).select_from(Job).where(Job.project_id == project.id)) or 0
    now = platform.now()
    job = Job(
        project_id=project.id,
        name=request.job.name or f"job-{before + 1}",
        created_at=now,
        updated_at=now,
        status=JobStatus.PENDING,
        priority=request.job.priority or 0,
        availability_model=request.job.compute.availability_model.value,
        node_count=request.job.compute.node_count,
        instance_type=request.instance_type.id,
        pool=request.pool,
        demand=request.demand,
        body=dict(body),
        loaded=[vars(pinned) for pinned in loaded],
    )
    session.add(job)
    job.history.add(StatusChange(status=job.status, created_at=now, message=None))
    project.updated_at = now
    session.flush()
    return job


def _check_secrets(session: Session, request: JobRequest, team_id: str) -> None:
    known = set(session.scalars(select(Secret.name).where(Secret.team_id == team_id)))
    for variable, secret in request.secret_names.items():
        if secret not in known:
            raise invalid(
                f"training_job.runtime.environment_variables.{variable}: there is no secret {secret!r}. Add it first: "
                f'POST /v1/secrets {{"name": "{secret}", "value": "…"}}.'
            )


def _check_artifacts(session: Session, request: JobRequest) -> None:
    for artifact in request.artifacts:
        upload = session.get(Upload, artifact.s3_key)
        if upload is None or not upload.complete:
            raise invalid(f"training_job.runtime.artifacts: {artifact.s3_key!r} was not uploaded to this platform.")


# ---------------------------------------------------------------- asking for an end; with `platform.lifecycle` held


def find_job(session: Session, project_id: str, job_id: str) -> Job:
    """A job that is not deleted.

    Raises:
        Problem: 404.
    """
    job = session.scalar(select(Job).where(Job.project_id == project_id, Job.id == job_id, ~Job.deleted))
    if job is None:
        raise missing("training job", job_id)
    return job


def stop(platform: Platform, job: Job, reason: Literal["stopped", "preempted"] = "stopped") -> None:
    """End a job: at once while it waits, through its supervisor when it has started. An ended one stays as it is."""
    directory = platform.data.job(job.id)
    if job.status == JobStatus.PENDING or (job.status == JobStatus.CREATED and not directory.exists()):
        _set_status(job, STATUS[reason], platform.now(), None)
    elif job.status in STARTED:
        platform.runner.stop(directory, reason)


def preempt(platform: Platform, job: Job) -> None:
    """Take a spot job away, as a reclaim of its capacity would.

    Raises:
        Problem: 409: it is not spot, or not running.
    """
    if job.availability_model != "spot":
        raise Problem(
            409,
            f"Job {job.id} is {job.availability_model}, and only spot jobs are preempted. Stop it, or push it with "
            'availability_model="spot".',
        )
    if job.status not in (JobStatus.DEPLOYING, JobStatus.RUNNING):
        raise Problem(409, f"Job {job.id} is {job.status}: there is nothing to take away.")
    stop(platform, job, "preempted")


def delete_job(platform: Platform, job: Job) -> None:
    """Hide a job and stop it; its files go when it has ended."""
    stop(platform, job)
    job.deleted = True


def delete_project(platform: Platform, session: Session, project: Project) -> None:
    """Hide a project with all its jobs, and stop those; its cache goes when the last has ended."""
    for job in session.scalars(select(Job).where(Job.project_id == project.id, ~Job.deleted)):
        delete_job(platform, job)
    project.deleted = True


# ---------------------------------------------------------------- moving on


def advance(platform: Platform) -> None:
    """Note how the started jobs fare, and start those whose turn it is."""
    _watch(platform)
    admit(platform)
    _start(platform)


def _watch(platform: Platform) -> None:
    busy = Job.status.in_((JobStatus.DEPLOYING, JobStatus.RUNNING)) | (Job.checkpoint_sync_status == _SYNCING)
    with platform.database.reading() as session:
        known = list(session.scalars(select(Job).where(busy)))
    states = {job.id: _state(platform, job.id) for job in known}
    news = [job.id for job in known if _told(job, states[job.id]) != (job.status, job.checkpoint_sync_status)]
    if not news:
        return
    with platform.database.writing() as session:
        for job in session.scalars(select(Job).where(Job.id.in_(news))):
            state = states[job.id]
            status, job.checkpoint_sync_status = _told(job, state)
            if status != job.status:
                _set_status(job, status, state.updated_at.timestamp(), state.error_message)
            if job.checkpoint_sync_status == _SYNCED and state.sync_error:
                lost = f"Not every checkpoint could be copied: {state.sync_error}"
                job.error_message = f"{job.error_message}\n{lost}" if job.error_message else lost


def _state(platform: Platform, job_id: str) -> JobState:
    try:
        return platform.runner.status(platform.data.job(job_id))
    except (LocalPlatformError, OSError) as error:
        return JobState.model_validate({"phase": "failed", "updated_at": platform.now(), "error_message": str(error)})


def _told(job: Job, state: JobState) -> tuple[str, str | None]:
    """The statuses, of the job and of its checkpoints, that follow from a state: never earlier ones than it has."""
    status = STATUS[state.phase]
    if job.status not in UNFINISHED or (status in UNFINISHED and _place(status) < _place(job.status)):
        status = job.status
    sync = job.checkpoint_sync_status and (_SYNCING if state.syncing or not state.is_final else _SYNCED)
    return status, sync


def _place(status: str) -> int:
    return UNFINISHED.index(status)


def admit(platform: Platform) -> None:
    """Let those jobs out of the queue whose turn it is, and tell the others what they wait for."""
    with platform.database.reading() as session:
        if session.scalar(select(Job.seq).where(_PENDING).limit(1)) is None:
            return
    with platform.database.writing() as session:
        waiting, running = _claims(session, (JobStatus.PENDING,)), _claims(session, STARTED)
        planned = plan(waiting, running, platform.capacity, _limits(session))
        told = {(id_, text) for id_, text in session.execute(select(Job.id, Job.error_message).where(_PENDING))}
        news = dict(planned.advice.items() - told)  # most jobs go on waiting for what they waited for
        for job in session.scalars(select(Job).where(Job.id.in_((*planned.start, *news)))):
            if job.id in news:
                job.error_message = news[job.id]
            else:
                _set_status(job, JobStatus.CREATED, platform.now(), None)


def _claims(session: Session, statuses: tuple[str, ...]) -> list[Claim]:
    columns = select(Job.id, Job.pool, Job.demand, Job.priority, Job.seq, Project.team_id)
    found = session.execute(columns.join(Project, Project.id == Job.project_id).where(Job.status.in_(statuses)))
    return [Claim(*row) for row in found]


def _limits(session: Session) -> dict[tuple[str, str], int]:
    return {(limit.team_id, limit.gpu_type): limit.max_gpus for limit in session.scalars(select(TeamLimit))}


def _start(platform: Platform) -> None:
    with platform.database.reading() as session:
        created = list(session.scalars(select(Job.id).where(Job.status == JobStatus.CREATED)))
    for job_id in created:
        with platform.lifecycle:
            _start_one(platform, job_id)


def _start_one(platform: Platform, job_id: str) -> None:
    status, sync, message = JobStatus.DEPLOYING, None, None
    try:
        with platform.database.reading() as session:
            if session.scalar(select(Job.status).where(Job.id == job_id)) != JobStatus.CREATED:
                return  # stopped meanwhile
            spec = job_spec(platform, session, job_id)
        platform.runner.submit(spec)
        sync = _SYNCING if spec.checkpointing else None
    except (Problem, LocalPlatformError, OSError) as error:
        status, message = JobStatus.DEPLOY_FAILED, f"The job could not be started: {error}"
    with platform.database.writing() as session:
        job = session.scalars(select(Job).where(Job.id == job_id)).one()
        _set_status(job, status, platform.now(), message)
        job.checkpoint_sync_status = sync


def _set_status(job: Job, status: str, now: float, message: str | None) -> None:
    logger.info("job %s: %s", job.id, status)
    job.status, job.updated_at, job.error_message = status, max(now, job.updated_at), message
    job.history.add(StatusChange(status=status, created_at=job.updated_at, message=message))
