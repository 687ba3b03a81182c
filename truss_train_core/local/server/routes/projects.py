"""Training projects."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.local.server import answers, lifecycle
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Project, Team
from truss_train_core.local.server.problems import missing
from truss_train_core.local.server.routes.secrets import team_of


class _Project(BaseModel):
    name: str = Field(min_length=1)
    team_name: str | None = None


class _Upsert(BaseModel):
    training_project: _Project


def list_projects(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        return models.ProjectsAnswer(training_projects=answers.list_projects(session))


def get_project(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        return models.ProjectAnswer(training_project=answers.get_project(session, call.path["project_id"]))


def upsert_project(call: Call) -> Answer:
    """The project of this name; made, and its team too, where there is none."""
    wanted, now = call.body(_Upsert).training_project, call.platform.now()
    with call.platform.database.writing() as session:
        team = _team(call, session, wanted.team_name, now)
        project = session.scalar(
            select(Project).where(Project.name == wanted.name, Project.team_id == team.id, ~Project.deleted)
        )
        if project is None:
            project = Project(name=wanted.name, team_id=team.id, created_at=now, updated_at=now)
            session.add(project)
            session.flush()
        return models.ProjectAnswer(training_project=answers.get_project(session, project.id))


def delete_project(call: Call) -> Answer:
    """Delete a project with its jobs, their checkpoints and its cache; what runs is stopped."""
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        project = find_project(session, call.path["project_id"])
        lifecycle.delete_project(platform, session, project)
        return answers.Deleted(id=project.id)


def cache_summary(call: Call) -> Answer:
    """The files in a project's cache."""
    with call.platform.database.reading() as session:
        project = find_project(session, call.path["project_id"])
    cache = call.platform.data.project_cache(project.id)
    return {
        "timestamp": answers.moment(call.platform.now()).isoformat(),
        "project_id": project.id,
        "file_summaries": list(_summaries(cache)),
    }


def find_project(session: Session, project_id: str) -> Project:
    """A project that is not deleted.

    Raises:
        Problem: 404.
    """
    project = session.get(Project, project_id)
    if project is None or project.deleted:
        raise missing("training project", project_id)
    return project


def _team(call: Call, session: Session, name: str | None, now: float) -> Team:
    if name is None or "team_id" in call.path:
        return team_of(call, session)
    team = session.scalar(select(Team).where(Team.name == name))
    if team is None:
        team = Team(name=name, created_at=now)
        session.add(team)
        session.flush()
    return team


def _summaries(root: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(root.rglob("*")):
        try:
            status = path.lstat()
        except FileNotFoundError:  # a job removed it meanwhile
            continue
        yield {
            "path": str(path.relative_to(root)),
            "size_bytes": status.st_size,
            "modified": answers.moment(status.st_mtime).isoformat(),
            "file_type": "directory" if stat.S_ISDIR(status.st_mode) else "file",
            "permissions": stat.filemode(status.st_mode),
        }


ROUTES = (
    Route("GET", "/v1/training_projects", list_projects),
    Route("POST", "/v1/training_projects", upsert_project),
    Route("POST", "/v1/teams/{team_id}/training_projects", upsert_project),
    Route("GET", "/v1/training_projects/{project_id}", get_project),
    Route("DELETE", "/v1/training_projects/{project_id}", delete_project),
    Route("GET", "/v1/training_projects/{project_id}/cache/summary", cache_summary),
)
