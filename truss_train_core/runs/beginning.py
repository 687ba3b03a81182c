"""What a run begins from, if not from nothing: checkpoints of earlier runs, such as the one that production serves.

start = client.run(runs.served_checkpoint("digits"))
project = runs.beginning_from(project, [start] if start else [])
"""

from __future__ import annotations

from collections.abc import Sequence

from truss_train_core import checkpoints, deployments, jobs
from truss_train_core.api.flows import Flow, emit
from truss_train_core.definitions import TrainingProject
from truss_train_core.deployments.promotion import PRODUCTION
from truss_train_core.errors import JobNotFound
from truss_train_core.events import Notice
from truss_train_core.runs.attempts import loading
from truss_train_core.runs.record import CheckpointRef

BEGINS_FROM = "TRUSS_TRAIN_BEGINS_FROM"
"""The environment variable of a job that names the checkpoints its run begins from, separated by commas.

A job finds checkpoints in its load directory also where it goes on after an interruption. Training code takes up the
latter with all that is in it; of one that is named here it takes the weights and begins to count anew.
"""


def served_checkpoint(model_name: str, environment: str = PRODUCTION) -> Flow[CheckpointRef | None]:
    """The checkpoint that answers in an environment of a model; None where nothing answers there yet.

    None, too, where its job was deleted and the checkpoint with it; whoever listens is told.

    Raises:
        NoUsableCheckpoint: what answers is not of one checkpoint of a training job.
        NotFound: the model has no such environment.
        ApiError, Unreachable: looking was not possible.
    """
    deployment = yield from deployments.answering(model_name, environment)
    if deployment is None:
        return None
    job_id, name = yield from deployments.checkpoint_of(deployment)
    try:
        yield from jobs.find(job_id)
    except JobNotFound:
        text = f"was deleted with its job {job_id}: no run can begin from it"
        yield from emit(Notice(about=f"{name}, which answers in {environment},", text=text))
        return None
    return CheckpointRef(job_id=job_id, name=name, step=checkpoints.step_of(name))


def beginning_from(project: TrainingProject, start: Sequence[CheckpointRef]) -> TrainingProject:
    """The definition, for a run that begins from these checkpoints, all in its load directory, and from no other.

    The job finds their names in the variable `BEGINS_FROM`. Without any, the definition is returned as it is.
    """
    if not start:
        return project
    return loading(project, start).with_parameters({BEGINS_FROM: ",".join(each.name for each in start)})
