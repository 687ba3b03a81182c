"""Clearing away what was deleted, once nothing of it runs any more, and what never came to be used.

Checkpoints that are deployed outlive the job that made them; they go with their last deployment.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import String, cast, delete, exists, func, select
from sqlalchemy.orm import Session

from truss_train_core.local.server.database import Deployment, Job, Model, Project, Upload
from truss_train_core.local.server.deployments import AT_REST
from truss_train_core.local.server.job_bodies import read_job
from truss_train_core.local.server.lifecycle import UNFINISHED
from truss_train_core.local.server.platform import Platform

UPLOAD_PATIENCE = 24 * 3600
"""Seconds after which an archive that no job was made from is removed."""


_DELETED = select(*(exists().where(table.deleted) for table in (Deployment, Job, Project, Model)))
"""Whether there is anything to clear at all, written once: most looks find nothing, several times a second."""


def clear(platform: Platform) -> None:
    """Remove deleted deployments, models, jobs and projects that have ended, with their files."""
    with platform.database.looking() as connection:
        if not any(connection.execute(_DELETED).one()):
            return
    _clear_deployments(platform)
    _clear_jobs(platform)
    _clear_empty(platform)


def clear_uploads(platform: Platform) -> None:
    """Remove what was uploaded, or begun to be, and then not used."""
    with platform.database.writing() as session:
        old = select(Upload).where(Upload.created_at < platform.now() - UPLOAD_PATIENCE)
        for upload in session.scalars(old).all():
            _remove_upload_unless_used(platform, session, upload)
    for path in platform.data.parts.iterdir():
        if path.stat().st_mtime < platform.now() - UPLOAD_PATIENCE:
            _remove(path)


def _clear_deployments(platform: Platform) -> None:
    with platform.database.reading() as session:
        gone = list(session.scalars(select(Deployment).where(Deployment.deleted, Deployment.status.in_(AT_REST))))
    for deployment in gone:
        _remove(platform.data.deployment(deployment.id))
        with platform.database.writing() as session:
            session.execute(delete(Deployment).where(Deployment.id == deployment.id))
            orphans = [one for one in deployment.weights if not _exists(session, one["job_id"])]
            for one in orphans:
                _remove_checkpoints(platform, session, one["project_id"], one["job_id"])


def _clear_jobs(platform: Platform) -> None:
    ended = Job.status.not_in(UNFINISHED) & (func.coalesce(Job.checkpoint_sync_status, "") != "SYNCING")
    with platform.database.reading() as session:
        gone = list(session.scalars(select(Job).where(Job.deleted, ended)))
    for job in gone:
        _remove(platform.data.job(job.id))
        with platform.database.writing() as session:
            body = session.scalars(select(Job.body).where(Job.id == job.id)).one()
            session.execute(delete(Job).where(Job.id == job.id))
            _remove_checkpoints(platform, session, job.project_id, job.id)
            for key in {artifact.s3_key for artifact in read_job(body).artifacts}:
                _remove_upload_unless_used(platform, session, session.get_one(Upload, key))


def _clear_empty(platform: Platform) -> None:
    no_jobs = ~exists().where(Job.project_id == Project.id)
    no_deployments = ~exists().where(Deployment.model_id == Model.id)
    with platform.database.reading() as session:
        projects = list(session.scalars(select(Project.id).where(Project.deleted, no_jobs)))
        models = list(session.scalars(select(Model.id).where(Model.deleted, no_deployments)))
    if not projects and not models:
        return
    for project_id in projects:
        _remove(platform.data.caches_of_project(project_id))
    with platform.database.writing() as session:
        session.execute(delete(Project).where(Project.id.in_(projects)))
        session.execute(delete(Model).where(Model.id.in_(models)))


def _exists(session: Session, job_id: str) -> bool:
    return session.scalar(select(Job.seq).where(Job.id == job_id)) is not None


def _remove_checkpoints(platform: Platform, session: Session, project_id: str, job_id: str) -> None:
    store = platform.data.checkpoints(project_id, job_id)
    served = (one for weights in session.scalars(select(Deployment.weights)) for one in weights)
    deployed = {one["checkpoint_name"] for one in served if one["job_id"] == job_id}
    if not deployed:
        _remove(store)
        return
    for checkpoint in store.glob("rank-*/*"):
        if checkpoint.name not in deployed and "." not in deployed:
            _remove(checkpoint)


def _remove_upload_unless_used(platform: Platform, session: Session, upload: Upload) -> None:
    if session.scalar(select(Job.seq).where(cast(Job.body, String).contains(upload.key))) is None:
        _remove(platform.data.upload(upload.key))
        session.delete(upload)


def _remove(path: Path) -> None:
    """Remove a file or a directory; what cannot be removed is left for the next time."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
