"""What "the latest checkpoint", or a name without a job, means: found once, when a run begins, and pinned.

Left to the server, a second attempt could take the half-written checkpoint of the first for the latest of the project.
"""

from __future__ import annotations

from collections.abc import Sequence

from truss_train_core import checkpoints, jobs
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, send
from truss_train_core.api.models import TrainingJob
from truss_train_core.definitions import NamedCheckpointReference
from truss_train_core.errors import NoUsableCheckpoint
from truss_train_core.runs.attempts import OpenReference
from truss_train_core.runs.record import CheckpointRef


def resolve(reference: OpenReference, project_name: str, key: str) -> Flow[CheckpointRef]:
    """The newest verified checkpoint, or that of this name, of the job or of the project's newest job that has one.

    Args:
        reference: where it names neither a job nor a project, the run's own project is meant.
        project_name: the run's own.
        key: of the run, whose own jobs do not count.

    Raises:
        JobNotFound: there is no such job or project.
        NoUsableCheckpoint: no job of it has a checkpoint that can be used.
    """
    if reference.job_id:
        found = yield from jobs.find(reference.job_id)
        return (yield from _newest([found]))
    name = reference.project_name or project_name
    wanted = reference.checkpoint_name if isinstance(reference, NamedCheckpointReference) else None
    project = yield from jobs.find_project(name)
    listed = (yield from send(endpoints.list_jobs(project.id))).training_jobs
    for job in sorted(listed, key=lambda each: each.created_at, reverse=True):
        if f"-{key}-" not in (job.name or ""):
            try:
                return (yield from (_named(job, wanted) if wanted else _newest([job])))
            except NoUsableCheckpoint:
                continue
    raise NoUsableCheckpoint(
        f"No job of project {name!r} has a checkpoint{f' {wanted!r}' if wanted else ''} that can be loaded.",
        hint="For a run that starts from nothing, leave load_checkpoint_config out.",
    )


def _named(job: TrainingJob, name: str) -> Flow[CheckpointRef]:
    surveyed = yield from checkpoints.survey(job)
    for checkpoint in surveyed.checkpoints:
        if checkpoint.checkpoint_id == name and (yield from checkpoints.verify(surveyed, checkpoint)) is None:
            return CheckpointRef(job_id=job.id, name=name, step=checkpoints.step_of(name))
    raise NoUsableCheckpoint(f"{jobs.describe(job)} has no checkpoint {name!r} that can be loaded.")


def _newest(some: Sequence[TrainingJob]) -> Flow[CheckpointRef]:
    found = yield from checkpoints.newest_verified(some)
    return CheckpointRef(job_id=found.job_id, name=found.name, step=found.step)
