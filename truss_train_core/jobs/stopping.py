"""Stopping a job."""

from __future__ import annotations

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, send
from truss_train_core.api.models import TrainingJob
from truss_train_core.errors import JobNotFound, NotFound, Rejected
from truss_train_core.events import Notice


def stop(job: TrainingJob) -> Flow[TrainingJob]:
    """Ask a job to end; returns the job as it is then, which may take a while to reach its final status.

    Stopping twice does no more than once. A job that has ended already is left alone, and that is said.

    Raises:
        JobNotFound: it was deleted.
    """
    current = yield from get(job)
    if not current.is_terminal:
        try:
            return (yield from send(endpoints.stop_job(job.training_project_id, job.id))).training_job
        except Rejected:
            current = yield from get(job)  # it may have ended just now
            if not current.is_terminal:
                raise
    yield from emit(Notice(about=describe(job), text=f"has ended already: {current.current_status}"))
    return current


def get(job: TrainingJob) -> Flow[TrainingJob]:
    """The job as it is now.

    Raises:
        JobNotFound: it was deleted, or the key may not see it.
    """
    try:
        return (yield from send(endpoints.get_job(job.training_project_id, job.id))).training_job
    except NotFound as error:
        raise JobNotFound(
            f"{describe(job)} of project {job.training_project.name!r} does not exist any more.",
            hint="It was deleted, or this key may not see it.",
        ) from error


def describe(job: TrainingJob) -> str:
    """What to call a job in a message: "job digits-1 (abc123)"."""
    return f"job {job.name} ({job.id})" if job.name else f"job {job.id}"
