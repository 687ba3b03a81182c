"""Which checkpoint a reference means. It is decided when a job is created, and pinned: what the job loads is named.

"Latest" is the newest complete checkpoint of the job that is meant; of a project, that of its newest job that has one;
of neither, that of the project in which the job is created. A checkpoint that is named without its job is looked for in
the same jobs, the newest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from truss_train_core.definitions import (
    CheckpointReference,
    LatestCheckpointReference,
    LoopsCheckpointReference,
    NamedCheckpointReference,
)
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE
from truss_train_core.local.runner import CheckpointIndex, StoredCheckpoint
from truss_train_core.local.server.data_dir import DataDir
from truss_train_core.local.server.database import Job, Project
from truss_train_core.local.server.problems import invalid
from truss_train_core.local.statefiles import read_json


@dataclass(frozen=True)
class Pinned:
    """One checkpoint of one job, and what it is called below rank-<n>/ in the load directory."""

    project_id: str
    job_id: str
    checkpoint_name: str
    folder: str


def stored_checkpoints(data: DataDir, project_id: str, job_id: str) -> tuple[StoredCheckpoint, ...]:
    """The checkpoints of a job as the platform keeps them, oldest first."""
    return stored_in(data.checkpoints(project_id, job_id))


def stored_in(store: Path) -> tuple[StoredCheckpoint, ...]:
    """The same of a job whose copies are in `store`."""
    path = store / INDEX_FILE
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return _read_index(path, (status.st_ino, status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=16)
def _read_index(path: Path, _version: tuple[int, ...]) -> tuple[StoredCheckpoint, ...]:
    """An index that is replaced as a whole whenever it changes; each page of the list of files is of the same one."""
    index = read_json(path, CheckpointIndex) or CheckpointIndex()
    return tuple(sorted(index.checkpoints, key=lambda checkpoint: checkpoint.created_at))


def stored_folders(data: DataDir, project_id: str, job_id: str, name: str) -> list[Path]:
    """Where the files of a checkpoint are: one folder for each rank that wrote any, the leader's first."""
    ranks = sorted(data.checkpoints(project_id, job_id).glob("rank-*"))
    return [rank / name for rank in ranks if (rank / name).exists()]


def complete_checkpoint(session: Session, data: DataDir, job_id: str, name: str) -> tuple[Job, StoredCheckpoint]:
    """A checkpoint by its name, with its job.

    Raises:
        Problem: 400: there is no such job or checkpoint, or it is still being copied.
    """
    job = _job(session, job_id)
    stored = stored_checkpoints(data, job.project_id, job.id)
    for checkpoint in stored:
        if checkpoint.name == name and checkpoint.complete:
            return job, checkpoint
        if checkpoint.name == name:
            raise invalid(f"Checkpoint {name!r} of job {job_id} is still being copied. Try again in a moment.")
    raise invalid(f"Job {job_id} has no checkpoint {name!r}; it has {_names(stored)}.")


def pin(
    session: Session, data: DataDir, references: Sequence[CheckpointReference], project_id: str
) -> tuple[Pinned, ...]:
    """Resolve the references of a job that is being created in `project_id`; the same checkpoint is taken once.

    Raises:
        Problem: 400, naming what is missing.
    """
    found = [_resolve(session, data, reference, project_id) for reference in references]
    found = list(dict.fromkeys(found))
    names = Counter(name for _, _, name in found)
    return tuple(
        Pinned(project, job, name, folder=f"{job}/{name}" if names[name] > 1 else name) for project, job, name in found
    )


def _resolve(session: Session, data: DataDir, reference: CheckpointReference, project_id: str) -> tuple[str, str, str]:
    if isinstance(reference, LoopsCheckpointReference):
        raise invalid("load_checkpoint_config: the local platform has no Loops runs, so no checkpoints of theirs.")
    jobs, what = _candidates(session, reference, project_id)
    name = reference.checkpoint_name if isinstance(reference, NamedCheckpointReference) else None
    if name and reference.job_id:
        job, checkpoint = complete_checkpoint(session, data, reference.job_id, name)
        return job.project_id, job.id, checkpoint.name
    for job in jobs:
        complete = [
            checkpoint
            for checkpoint in stored_checkpoints(data, job.project_id, job.id)
            if checkpoint.complete and name in (None, checkpoint.name)
        ]
        if complete:
            return job.project_id, job.id, complete[-1].name
    wanted = f"complete checkpoint {name!r}" if name else "complete checkpoint"
    raise invalid(f"load_checkpoint_config: {what} has no {wanted} to load.")


def _candidates(
    session: Session, reference: LatestCheckpointReference | NamedCheckpointReference, project_id: str
) -> tuple[Iterable[Job], str]:
    if reference.project_name:
        project = _project(session, reference.project_name)
        project_id, what = project.id, f"project {reference.project_name!r}"
    else:
        what = "this project"
    if reference.job_id:
        job = _job(session, reference.job_id)
        if reference.project_name and job.project_id != project_id:
            raise invalid(f"Job {job.id} is not one of project {reference.project_name!r}.")
        return [job], f"job {job.id}"
    jobs = select(Job).where(Job.project_id == project_id, ~Job.deleted).order_by(Job.seq.desc())
    return session.scalars(jobs), what


def _job(session: Session, job_id: str) -> Job:
    job = session.scalar(select(Job).where(Job.id == job_id, ~Job.deleted))
    if job is None:
        raise invalid(f"There is no training job {job_id!r} to take a checkpoint from.")
    return job


def _project(session: Session, name: str) -> Project:
    project = session.scalar(select(Project).where(Project.name == name, ~Project.deleted))
    if project is None:
        raise invalid(f"There is no training project {name!r} to take a checkpoint from.")
    return project


def _names(stored: Sequence[StoredCheckpoint]) -> str:
    return ", ".join(checkpoint.name for checkpoint in stored) or "none"
