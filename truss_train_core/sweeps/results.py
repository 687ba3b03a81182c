"""How the trials of a sweep do, read from their jobs and checkpoints, and the best checkpoint of all."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from truss_train_core import checkpoints, curves
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, send, together
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints import Choice, Requirement
from truss_train_core.errors import NotFound, NoUsableCheckpoint
from truss_train_core.runs.attempts import cause_of
from truss_train_core.runs.early import Verdict
from truss_train_core.sweeps.halving import Records, course, is_compared, why_stop
from truss_train_core.sweeps.trial import Trial, number_of
from truss_train_core.values import Value

State = Literal["not submitted", "running", "completed", "stopped early", "stopped", "failed", "preempted"]


class Outcome(Value):
    """What has become of a trial.

    Attributes:
        state: of its newest job.
        reason: why it was stopped early, or what the API says of its end.
        jobs: ids, the first attempt first.
        course: the metric by step or epoch, in order; measurements that are no numbers are left out.
    """

    trial: Trial
    state: State
    reason: str | None = None
    jobs: tuple[str, ...] = ()
    course: Mapping[float, float] = {}

    @property
    def best(self) -> tuple[float, float] | None:
        """Where the metric was best, the first time, and its value; None where there is none."""
        if not self.course:
            return None
        pick = min if self.trial.objective.mode == "min" else max
        return pick(self.course.items(), key=lambda each: each[1])


class Results(Value):
    """A sweep at one moment.

    Attributes:
        outcomes: of all trials, in order.
        choice: the best checkpoint of all, whatever became of its trial; None where none can be chosen.
        problem: why none can.
    """

    outcomes: tuple[Outcome, ...]
    choice: Choice | None
    problem: str | None = None

    @property
    def chosen(self) -> Outcome | None:
        """The trial whose checkpoint was chosen."""
        job = self.choice.checkpoint.training_job_id if self.choice else None
        return next((each for each in self.outcomes if job in each.jobs), None)

    def expect_choice(self) -> Choice:
        """The choice.

        Raises:
            NoUsableCheckpoint: there is none; the message says why.
        """
        if self.choice is None:
            raise NoUsableCheckpoint(f"None of {len(self.outcomes)} trials has a checkpoint to choose. {self.problem}")
        return self.choice


def results(
    project_id: str, trials: Sequence[Trial], *, requirement: Requirement = checkpoints.deployable
) -> Flow[Results]:
    """Look at all trials of a sweep, at any time, and choose the best checkpoint.

    Trials that failed or were stopped count with the checkpoints that they have.

    Args:
        project_id: in which their jobs are.
        trials: of one sweep.
        requirement: what a checkpoint has to meet to be chosen.
    """
    objective = trials[0].objective
    found = yield from _jobs(project_id, trials[0].sweep)
    measured = yield from _measured_by_trial(found)
    outcomes = tuple(_outcome(trial, found.get(trial.number, []), measured) for trial in trials)
    every_job = [job for number in sorted(found) for job in found[number]]
    try:
        find = checkpoints.find_best(every_job, objective.metric, objective.mode, requirement=requirement)
        return Results(outcomes=outcomes, choice=(yield from find))
    except NoUsableCheckpoint as error:
        return Results(outcomes=outcomes, choice=None, problem=str(error))


def verdict(trial: Trial) -> Verdict:
    """Tells whether the job of a trial is to be stopped early: because of NaN, or by successive halving.

    For `RunPlan(verdict=…)` and `runs.EarlyStop`. The other trials are looked at only once this one has got to where
    it is compared with them.
    """
    objective = trial.objective

    def judge(job: TrainingJob) -> Flow[str | None]:
        found = yield from _jobs(job.training_project_id, trial.sweep)
        own = found.pop(trial.number, [])
        measured = {trial.number: (yield from _measured(own if job in own else [*own, job]))}
        if is_compared(objective, measured[trial.number]):
            measured |= yield from _measured_by_trial(found)
        return why_stop(objective, trial.of, trial.number, measured)

    return judge


def _jobs(project_id: str, sweep: str) -> Flow[dict[int, list[TrainingJob]]]:
    """The jobs of a sweep, by the number of their trial, the oldest first."""
    listed = (yield from send(endpoints.list_jobs(project_id))).training_jobs
    found: defaultdict[int, list[TrainingJob]] = defaultdict(list)
    for job in sorted(listed, key=lambda each: (each.created_at, each.id)):
        number = number_of(job.name, sweep)
        if number is not None:
            found[number].append(job)
    return dict(found)


def _measured_by_trial(found: Mapping[int, Sequence[TrainingJob]]) -> Flow[dict[int, Records]]:
    measured = yield from together(_measured(jobs) for jobs in found.values())
    return dict(zip(found, measured, strict=True))


def _measured(jobs: Sequence[TrainingJob]) -> Flow[Records]:
    """What all attempts of a trial have measured. What was measured twice counts as it was first."""
    measured: list[Mapping[str, float]] = []
    for job in jobs:
        known = {record["step"] for record in measured}
        try:
            told = yield from curves.records(job)
        except NotFound:  # deleted just now
            continue
        measured += [record for record in told if record["step"] not in known]
    return sorted(measured, key=lambda record: record["step"])


def _outcome(trial: Trial, jobs: Sequence[TrainingJob], measured: Mapping[int, Records]) -> Outcome:
    objective = trial.objective
    state, reason = _state(jobs[-1]) if jobs else ("not submitted", None)
    if state == "stopped" and (why := why_stop(objective, trial.of, trial.number, measured)):
        state, reason = "stopped early", why
    values = course(measured.get(trial.number, ()), objective.metric, objective.unit)
    return Outcome(
        trial=trial,
        state=state,
        reason=reason,
        jobs=tuple(job.id for job in jobs),
        course={place: value for place, value in values.items() if math.isfinite(value)},
    )


def _state(job: TrainingJob) -> tuple[State, str | None]:
    if not job.is_terminal:
        return "running", None
    lines = (job.error_message or "").strip().splitlines()
    return cause_of(job), (lines[0] if lines else None)
