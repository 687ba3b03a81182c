"""From what the platform remembers to what the API answers: the wire's models, and those only a server needs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, UnaryExpression, func, select
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


# ---------------------------------------------------------------- jobs


def list_jobs(session: Session, *where: ColumnElement[bool], oldest_first: bool = False) -> list[models.TrainingJob]:
    """Jobs that are not deleted, newest first unless said otherwise."""
    order: UnaryExpression[int] = Job.seq.asc() if oldest_first else Job.seq.desc()
    query = select(*_JOB_COLUMNS).join(Project, Project.id == Job.project_id)
    rows = session.execute(query.where(~Job.deleted, *where).order_by(order))
    user = models.User(email=USER_EMAIL)
    return [_job(row, user) for row in rows]


def get_job(session: Session, project_id: str, job_id: str) -> models.TrainingJob:
    """One job.

    Raises:
        Problem: 404.
    """
    found = list_jobs(session, Job.project_id == project_id, Job.id == job_id)
    if not found:
        raise missing("training job", job_id)
    return found[0]


def _job(row: Any, user: models.User) -> models.TrainingJob:
    (id_, created_at, updated_at, status, project_id, name, error_message, node_count, priority, availability, sync,
     instance_type, project_name) = row  # fmt: skip
    return models.TrainingJob.model_validate(
        {
            "id": id_, "created_at": created_at, "updated_at": updated_at, "current_status": status,
            "training_project_id": project_id, "training_project": {"id": project_id, "name": project_name},
            "instance_type": catalogue()[instance_type], "name": name, "error_message": error_message,
            "node_count": node_count, "priority": priority, "availability_model": availability,
            "checkpoint_sync_status": sync, "user": user,
        }
    )  # fmt: skip


# ---------------------------------------------------------------- projects


def list_projects(session: Session, *where: ColumnElement[bool]) -> list[models.TrainingProject]:
    """Projects that are not deleted, each with its latest job, newest first."""
    rows = session.execute(
        select(Project, Team.name).join(Team, Team.id == Project.team_id).where(~Project.deleted, *where)
        .order_by(Project.created_at.desc())
    ).all()  # fmt: skip
    ids = [project.id for project, _ in rows]
    newest = select(func.max(Job.seq)).where(~Job.deleted, Job.project_id.in_(ids)).group_by(Job.project_id)
    latest = {job.training_project_id: job for job in list_jobs(session, Job.seq.in_(newest))}
    return [
        models.TrainingProject.model_validate(
            {
                "id": project.id, "name": project.name, "created_at": project.created_at,
                "updated_at": project.updated_at, "team_name": team_name, "latest_job": latest.get(project.id),
            }
        )
        for project, team_name in rows
    ]  # fmt: skip


def get_project(session: Session, project_id: str) -> models.TrainingProject:
    """One project.

    Raises:
        Problem: 404.
    """
    found = list_projects(session, Project.id == project_id)
    if not found:
        raise missing("training project", project_id)
    return found[0]
