"""What the attempts of a run measured, read from small files in their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from truss_train_core import checkpoints
from truss_train_core.api.flows import Flow, together
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints import Survey, TrainerState
from truss_train_core.checkpoints.trainer_state import numbers
from truss_train_core.curves.joining import Measured
from truss_train_core.runs import RunRecord


def measured(record: RunRecord, jobs: Sequence[TrainingJob]) -> Flow[list[Measured]]:
    """What each attempt of a run measured.

    Args:
        record: of the run.
        jobs: its jobs, the first attempt first, as `runs.jobs_of` finds them.
    """
    starts = {attempt.job_id: attempt.started_from.step for attempt in record.attempts if attempt.started_from}
    told = yield from together(records(job) for job in jobs)
    return [
        Measured(job.id, number, starts.get(job.id), measurements)
        for number, (job, measurements) in enumerate(zip(jobs, told, strict=True), 1)
    ]


def newest_state(job: TrainingJob) -> Flow[TrainerState | None]:
    """The training state in a job's newest complete checkpoint; None where there is none."""
    survey = yield from checkpoints.survey(job)
    return (yield from _newest_state(survey))


def _newest_state(survey: Survey) -> Flow[TrainerState | None]:
    for checkpoint in reversed(survey.checkpoints):
        if checkpoints.complete(survey, checkpoint) is None:
            return (yield from checkpoints.read_state(survey, checkpoint))
    return None


def records(job: TrainingJob) -> Flow[list[Mapping[str, float]]]:
    """All that a job's checkpoints tell of its training, in the order of steps."""
    survey = yield from checkpoints.survey(job)
    state = yield from _newest_state(survey)
    if state:
        return [numbers(record) for record in state.log_history if isinstance(record.get("step"), (int, float))]
    metrics = yield from checkpoints.read_metrics(survey, checkpoints.DEFAULT)
    steps = {name: checkpoints.step_of(name) for name in metrics}
    known = sorted((step, name) for name, step in steps.items() if step is not None and metrics[name])
    return [{**metrics[name], "step": float(step)} for step, name in known]
