"""What an attempt starts from, why it ended, and whether another one follows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from truss_train_core.api.models import TrainingJob
from truss_train_core.definitions import (
    BasetenCheckpoint,
    LatestCheckpointReference,
    LoadCheckpointConfig,
    NamedCheckpointReference,
    TrainingProject,
)
from truss_train_core.runs.plan import RunPlan
from truss_train_core.runs.record import Attempt, Cause, CheckpointRef, RunRecord

OpenReference = LatestCheckpointReference | NamedCheckpointReference
_TAKEN_AWAY = ("preempt", "reclaim", "spot ")


def cause_of(job: TrainingJob) -> Cause:
    """Why a job ended.

    Preemption has a status of its own in some places, and is a failure or a stop with a telling message in others;
    what the API does is not documented.
    """
    message = (job.error_message or "").lower()
    if job.succeeded:
        return "completed"
    if job.current_status.endswith("_PREEMPTED") or any(word in message for word in _TAKEN_AWAY):
        return "preempted"
    if job.current_status.endswith(("_STOPPED", "_CANCELED", "_CANCELLED")):
        return "stopped"
    return "failed"


def project_of(plan: RunPlan, record: RunRecord) -> TrainingProject:
    """The definition of the current attempt: named with the run's key, and started from where it has to.

    An attempt that goes on from a checkpoint loads that one alone: what the definition loads is the starting point of
    the run, and training code that looks for the newest checkpoint in its load directory could take it for that.
    """
    project, start = plan.project, record.attempt.started_from
    own = project.job.runtime.load_checkpoint_config
    if start:
        project = starting_from(project, start)
    elif own and record.origin:
        origin = iter(record.origin)
        pinned = [_pinned(next(origin)) if _is_open(each) else each for each in own.checkpoints]
        project = _with_load(project, own.model_copy(update={"checkpoints": pinned}))
    return project.model_copy(update={"job": project.job.model_copy(update={"name": record.attempt.job_name})})


def starting_from(project: TrainingProject, checkpoint: CheckpointRef) -> TrainingProject:
    """The definition, for a job that goes on from this checkpoint and loads no other."""
    return loading(project, [checkpoint])


def loading(project: TrainingProject, checkpoints: Sequence[CheckpointRef]) -> TrainingProject:
    """The definition, for a job that loads these checkpoints and no other."""
    own = project.job.runtime.load_checkpoint_config or LoadCheckpointConfig()
    pinned = [_pinned(each) for each in checkpoints]
    return _with_load(
        project, LoadCheckpointConfig(enabled=True, checkpoints=pinned, download_folder=own.download_folder)
    )


def open_references(plan: RunPlan) -> list[OpenReference]:
    """The references of the definition that leave open which checkpoint they mean."""
    own = plan.project.job.runtime.load_checkpoint_config
    return [each for each in own.checkpoints if _is_open(each)] if own and own.enabled else []


def why_not_again(plan: RunPlan, record: RunRecord) -> str | None:
    """Why no attempt follows the current one, which did not complete; None: one does."""
    attempt = record.attempt
    said = f": {attempt.message}" if attempt.message else ""
    if attempt.cause == "stopped":
        return f"job {attempt.job_name} was stopped{said}"
    if attempt.cause == "preempted":
        spent = record.preemptions > plan.max_preemptions
        return (
            f"attempt {attempt.number} was preempted, and max_preemptions is {plan.max_preemptions}" if spent else None
        )
    if record.failures > plan.max_failures:
        return f"attempt {attempt.number} failed, and max_failures is {plan.max_failures}{said}"
    before = next((each for each in reversed(record.attempts[:-1]) if each.cause == "failed"), None)
    if before and not _is_further(attempt.newest, before.newest):
        where = f"without a checkpoint after {attempt.newest.name}" if attempt.newest else "without any checkpoint"
        return f"attempts {before.number} and {attempt.number} failed at the same place, {where}{said}"
    return None


def next_attempt(plan: RunPlan, record: RunRecord) -> Attempt:
    """The attempt after the current one."""
    number = record.attempt.number + 1
    return Attempt(number=number, job_name=plan.name(record.key, number), started_from=record.attempt.newest)


def reopened(plan: RunPlan, record: RunRecord) -> RunRecord:
    """A failed run, to be tried again: with its budgets of failures as new, from its newest verified checkpoint.

    For whoever decides to try again, a person or a workflow engine. Any other record is returned as it is.
    """
    if record.phase != "failed":
        return record
    attempts = (*record.attempts, next_attempt(plan, record))
    return record.changed(phase="submitting", attempts=attempts, failures=0, preemptions=0, failure=None)


def _with_load(project: TrainingProject, load: LoadCheckpointConfig) -> TrainingProject:
    runtime = project.job.runtime.model_copy(update={"load_checkpoint_config": load})
    return project.model_copy(update={"job": project.job.model_copy(update={"runtime": runtime})})


def _pinned(checkpoint: CheckpointRef) -> object:
    return BasetenCheckpoint.from_named_checkpoint(checkpoint.name, checkpoint.job_id)


def _is_open(reference: object) -> TypeGuard[OpenReference]:
    """Whether it says less than which checkpoint of which job."""
    named_with_job = isinstance(reference, NamedCheckpointReference) and reference.job_id is not None
    return isinstance(reference, OpenReference) and not named_with_job


def _is_further(now: CheckpointRef | None, before: CheckpointRef | None) -> bool:
    if now is None or before is None:
        return now is not None
    if now.step is None or before.step is None:
        return now != before
    return now.step > before.step
