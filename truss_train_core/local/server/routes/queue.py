"""Why a job waited: who held what it needed when it came, who was ahead of it, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.api.models import JobStatus
from truss_train_core.local.server.answers import moment
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Job, Project, StatusChange, TeamLimit
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.lifecycle import STARTED, UNFINISHED
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import missing


@dataclass(frozen=True)
class _Change:
    """A status that a job took on."""

    job: Job
    change: StatusChange


def queue_context(call: Call) -> Answer:
    """Of a job without GPUs the type is "CPU", and its cores are counted."""
    with call.platform.database.reading() as session:
        job = session.scalar(select(Job).where(Job.id == call.path["job_id"], ~Job.deleted))
        if job is None:
            raise missing("training job", call.path["job_id"])
        changes = _changes_around(session, job)
        team_limit = _team_limit(session, job)
    when_it_came = _others_at(changes, job)
    active = [each for each in when_it_came if each.change.status in STARTED]
    ahead = [each for each in when_it_came if _is_ahead(each, job)]
    released = next(
        (c.change.created_at for c in changes if c.job is job and c.change.status == JobStatus.CREATED), None
    )
    end = call.platform.now() if released is None else released
    told = {job.id, *(each.job.id for each in (*active, *ahead))}
    return models.QueueContext(
        target_job_id=job.id,
        target_job_name=job.name,
        gpu_type=job.pool,
        requested_gpus=job.demand,
        submitted_at=moment(job.created_at),
        released_at=None if released is None else moment(released),
        pending_seconds=None if released is None else int(released - job.created_at),
        org_capacity=_platform_limit(call.platform, job.pool),
        team_capacity=team_limit,
        active_at_submit=[_active(each) for each in active],
        pending_ahead_at_submit=[_pending(each) for each in ahead],
        events=[
            _event(each) for each in changes if each.job.id in told and job.created_at <= each.change.created_at <= end
        ],
        events_window_end=moment(end),
    )


def _changes_around(session: Session, job: Job) -> list[_Change]:
    """What befell a job and the older ones of its pool that had not ended when it came, in the order of time."""
    not_ended = Job.status.in_(UNFINISHED) | (Job.updated_at >= job.created_at)
    query = select(Job, StatusChange).join(StatusChange, StatusChange.job_id == Job.id)
    query = query.where(Job.pool == job.pool, Job.seq <= job.seq, not_ended).order_by(StatusChange.seq)
    return [_Change(*row) for row in session.execute(query)]


def _others_at(changes: Sequence[_Change], job: Job) -> list[_Change]:
    """The status that each other job had when `job` came."""
    latest = {each.job.id: each for each in changes if each.job is not job and each.change.created_at <= job.created_at}
    return list(latest.values())


def _is_ahead(other: _Change, job: Job) -> bool:
    return other.change.status == JobStatus.PENDING and other.job.priority >= job.priority


def _platform_limit(platform: Platform, pool: str) -> models.CapacityLimit | None:
    if pool not in platform.capacity:
        return None
    return models.CapacityLimit(
        gpu_type=pool, max_gpus=platform.capacity[pool], last_modified=moment(platform.opened_at)
    )


def _team_limit(session: Session, job: Job) -> models.CapacityLimit | None:
    limit = session.get(TeamLimit, (session.get_one(Project, job.project_id).team_id, job.pool))
    if limit is None:
        return None
    return models.CapacityLimit(
        gpu_type=limit.gpu_type, max_gpus=limit.max_gpus, last_modified=moment(limit.updated_at)
    )


def _active(at: _Change) -> models.ActiveJob:
    return models.ActiveJob(
        training_job_id=at.job.id,
        training_job_name=at.job.name,
        instance_type_name=catalogue()[at.job.instance_type].name,
        total_gpus=at.job.demand,
        workload_plane_name="local",
        status_at_submit=at.change.status,
        status_set_at=moment(at.change.created_at),
    )


def _pending(at: _Change) -> models.PendingJob:
    return models.PendingJob(
        training_job_id=at.job.id,
        training_job_name=at.job.name,
        instance_type_name=catalogue()[at.job.instance_type].name,
        requested_gpus=at.job.demand,
        priority=at.job.priority,
        submitted_at=moment(at.job.created_at),
    )


def _event(at: _Change) -> models.QueueEvent:
    return models.QueueEvent(
        training_job_id=at.job.id,
        training_job_name=at.job.name,
        status=at.change.status,
        created=moment(at.change.created_at),
        event_message=at.change.message,
    )


ROUTES = (Route("GET", "/v1/training/jobs/{job_id}/queue_context", queue_context),)
