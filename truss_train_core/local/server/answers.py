"""From what the platform remembers to what the API answers: the wire's models, and those only a server needs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, Connection, UnaryExpression, bindparam, func, select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.local.server.database import Job, Project, Team
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.problems import missing

USER_EMAIL = "local@localhost"

_JOB_COLUMNS = (
    Job.id, Job.created_at, Job.updated_at, Job.status, Job.project_id, Job.name, Job.error_message, Job.node_count,
    Job.priority, Job.availability_model, Job.checkpoint_sync_status, Job.instance_type,
    Project.name.label("project_name"),
)  # fmt: skip
_JOBS = select(*_JOB_COLUMNS).join(Project, Project.id == Job.project_id).where(~Job.deleted)
_PROJECTS = (
    select(Project.id, Project.name, Project.created_at, Project.updated_at, Team.name)
    .join(Team, Team.id == Project.team_id)
    .where(~Project.deleted)
)
# What every look at a job asks for is written once: making a statement takes longer than running it.
_OF_PROJECT = Job.project_id == bindparam("project_id")
_ONE_JOB = _JOBS.where(_OF_PROJECT, Job.id == bindparam("job_id"))
_ONE_PROJECT = _PROJECTS.where(Project.id == bindparam("project_id"))
_LATEST_JOB = _JOBS.where(_OF_PROJECT).order_by(Job.seq.desc()).limit(1)
_SEQ = select(Job.seq).where(Job.id == bindparam("job_id")).scalar_subquery()
_LATEST_SEQ = select(func.max(Job.seq)).where(_OF_PROJECT, ~Job.deleted).scalar_subquery()
_JOB_AND_LATEST = (
    _JOBS.add_columns(Project.created_at, Project.updated_at, Team.name)
    .join(Team, Team.id == Project.team_id)
    .where(_OF_PROJECT, Job.seq.in_((_SEQ, _LATEST_SEQ)), ~Project.deleted)  # two lookups; an OR reads all jobs
    .order_by(Job.seq)
)
_USER = models.User(email=USER_EMAIL)


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as the API tells a time."""
    return datetime.fromtimestamp(seconds, timezone.utc)


class DeletedJob(models.Wire):
    id: str
    training_project_id: str
    deleted: bool = True


class Deleted(models.Wire):
    id: str
    deleted: bool = True


def _connection(session: Session) -> Connection:
    """Where a statement sees what the session has changed, and costs a fraction of what it costs in the session."""
    session.flush()
    return session.connection()


# ---------------------------------------------------------------- jobs


def list_jobs(session: Session, *where: ColumnElement[bool], oldest_first: bool = False) -> list[models.TrainingJob]:
    """Jobs that are not deleted, newest first unless said otherwise."""
    order: UnaryExpression[int] = Job.seq.asc() if oldest_first else Job.seq.desc()
    return [_job(row) for row in session.execute(_JOBS.where(*where).order_by(order))]


def get_job(session: Session, project_id: str, job_id: str) -> models.TrainingJob:
    """One job.

    Raises:
        Problem: 404.
    """
    row = _connection(session).execute(_ONE_JOB, {"project_id": project_id, "job_id": job_id}).first()
    if row is None:
        raise missing("training job", job_id)
    return _job(row)


def get_job_and_project(
    connection: Connection, project_id: str, job_id: str
) -> tuple[models.TrainingJob, models.TrainingProject]:
    """One job, and its project with the latest one: what a look at a status is answered with.

    Raises:
        Problem: 404.
    """
    rows = connection.execute(_JOB_AND_LATEST, {"project_id": project_id, "job_id": job_id}).all()
    jobs = [_job(row[: len(_JOB_COLUMNS)]) for row in rows]  # one, or two where there is a later job
    if not jobs or jobs[0].id != job_id:
        raise missing("training job", job_id)
    created_at, updated_at, team_name = rows[0][len(_JOB_COLUMNS) :]
    project = jobs[0].training_project
    return jobs[0], _project((project_id, project.name, created_at, updated_at, team_name), jobs[-1])


def _job(row: Any) -> models.TrainingJob:
    (id_, created_at, updated_at, status, project_id, name, error_message, node_count, priority, availability, sync,
     instance_type, project_name) = row  # fmt: skip
    return models.TrainingJob.model_validate(
        {
            "id": id_, "created_at": created_at, "updated_at": updated_at, "current_status": status,
            "training_project_id": project_id, "training_project": {"id": project_id, "name": project_name},
            "instance_type": catalogue()[instance_type], "name": name, "error_message": error_message,
            "node_count": node_count, "priority": priority, "availability_model": availability,
            "checkpoint_sync_status": sync, "user": _USER,
        }
    )  # fmt: skip


# ---------------------------------------------------------------- projects


def list_projects(session: Session, *where: ColumnElement[bool]) -> list[models.TrainingProject]:
    """Projects that are not deleted, each with its latest job, newest first."""
    rows = session.execute(_PROJECTS.where(*where).order_by(Project.created_at.desc())).all()
    ids = [row[0] for row in rows]
    newest = select(func.max(Job.seq)).where(~Job.deleted, Job.project_id.in_(ids)).group_by(Job.project_id)
    latest = {job.training_project_id: job for job in list_jobs(session, Job.seq.in_(newest))}
    return [_project(row, latest.get(row[0])) for row in rows]


def get_project(session: Session, project_id: str) -> models.TrainingProject:
    """One project.

    Raises:
        Problem: 404.
    """
    connection, project = _connection(session), {"project_id": project_id}
    row = connection.execute(_ONE_PROJECT, project).first()
    if row is None:
        raise missing("training project", project_id)
    latest = connection.execute(_LATEST_JOB, project).first()
    return _project(row, _job(latest) if latest else None)


def _project(row: Any, latest: models.TrainingJob | None) -> models.TrainingProject:
    id_, name, created_at, updated_at, team_name = row
    return models.TrainingProject.model_validate(
        {
            "id": id_, "name": name, "created_at": created_at, "updated_at": updated_at, "team_name": team_name,
            "latest_job": latest,
        }
    )  # fmt: skip
