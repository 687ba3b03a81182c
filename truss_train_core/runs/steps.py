"""A run, step by step. A step does what the record's phase says and returns the next record.

    starting ─► submitting ─► training ─► choosing ─► deploying ─► serving ─► asking ─► done
                    ▲            │
                    └─ resuming ◄┘  ─► failed

A step may be killed anywhere and done again: jobs and deployments are looked up before they are created, and everything
else only reads. What a step is about to create stands in the record that it is given. Phases that the plan has no use
for are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from truss_train_core import checkpoints, deployments, jobs
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, send
from truss_train_core.api.models import Deployment, TrainingJob
from truss_train_core.errors import BudgetSpent, DeploymentFailed, JobNotFound, NoUsableCheckpoint, RunFailed
from truss_train_core.events import AttemptEnded, AttemptStarted, ModelAnswered, Resuming
from truss_train_core.pushing import push_once_flow
from truss_train_core.runs.attempts import cause_of, next_attempt, open_references, project_of, why_not_again
from truss_train_core.runs.beside import beside
from truss_train_core.runs.budget import Usage, refuse_if_spent, usage, within
from truss_train_core.runs.deadline import on_capacity_in_time
from truss_train_core.runs.early import EarlyStop
from truss_train_core.runs.finding import jobs_of
from truss_train_core.runs.origin import resolve
from truss_train_core.runs.plan import RunPlan
from truss_train_core.runs.record import (
    FAILURE,
    MESSAGE,
    CheckpointRef,
    Chosen,
    Deployed,
    Phase,
    RecordChanged,
    RunRecord,
    shortened,
)
from truss_train_core.waiting import patiently

T = TypeVar("T")


def run(plan: RunPlan, record: RunRecord) -> Flow[RunRecord]:
    """Do a run, or the rest of it; returns the final record.

    Args:
        plan: what to do. The same as before, or one that was corrected.
        record: from `new_record`, or the last one that an earlier process kept.

    Raises:
        RunFailed: no attempt follows the last. The record is final.
        NoUsableCheckpoint, DefinitionError, DeploymentFailed: the training is done, and goes to no waste: run again
            with a corrected plan and the last record.
        WaitTimeout: a limit of the plan has passed; what was waited for goes on.
        TrussTrainError: anything else; run again with the last record.
    """
    yield from emit(RecordChanged(record=record))
    record = yield from _all_steps(record, plan)
    if record.phase == "failed":
        raise RunFailed(
            f"Run {record.key} of project {record.project_name!r} failed: {record.failure}",
            hint="Nothing of it runs any more; its checkpoints stay.",
        )
    return record


def step(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    """Do what the record's phase says; returns the next record, or the same one where it is final."""
    if record.is_final:
        return record
    return (yield from _STEPS[record.phase](record, plan))


def _all_steps(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    """The steps that are left. Once the training is done, late lines of its log keep nobody waiting."""
    while not record.is_final:
        late = None
        if record.phase == "training":
            record, late = yield from _train(record, plan)
        else:
            record = yield from step(record, plan)
        yield from emit(RecordChanged(record=record))
        if late and record.phase in ("choosing", "done"):
            return (yield from beside(_all_steps(record, plan), late))
        if late:
            yield from late
    return record


# ---------------------------------------------------------------- the steps


def _start(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    origin = yield from _patiently(plan, lambda: _origin(record, plan))
    return record.changed(origin=origin, phase="submitting")


def _submit(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    attempt, start = record.attempt, record.attempt.started_from
    yield from _patiently(plan, lambda: refuse_if_spent(plan.budget, record))
    yield from emit(
        AttemptStarted(number=attempt.number, job_name=attempt.job_name, started_from=start.name if start else None)
    )
    project = yield from on_capacity_in_time(plan.budget.deadline, project_of(plan, record))
    submitted = yield from _patiently(plan, lambda: push_once_flow(project, plan.source_dir, team_id=plan.team_id))
    return record.with_attempt(
        attempt.model_copy(update={"job_id": submitted.job.id, "status": submitted.job.current_status}),
        project_id=submitted.project.id,
        phase="training",
    )


def _train_to_the_last_line(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    record, late = yield from _train(record, plan)
    yield from late
    return record


def _train(record: RunRecord, plan: RunPlan) -> Flow[tuple[RunRecord, Flow[None]]]:
    """The next record, and a flow that looks for late lines of the log."""
    attempt = record.attempt
    try:
        job, late = yield from _wait(record, plan)
    except (JobNotFound, BudgetSpent) as error:
        ended = attempt.model_copy(update={"cause": "stopped", "message": shortened(error.message, MESSAGE)})
        return record.with_attempt(ended, phase="resuming"), _nothing()
    cause = cause_of(job)
    if cause == "stopped":
        # It may have been stopped as the newer of two twins: then the run goes on with the older.
        older = yield from _patiently(plan, lambda: jobs.look_up(job.training_project_id, attempt.job_name))
        if older and older.id != job.id:
            ours = attempt.model_copy(update={"job_id": older.id, "status": older.current_status})
            return record.with_attempt(ours), late
    message = None if cause == "completed" else shortened(job.error_message, MESSAGE)
    if cause == "stopped" and (verdict := (yield from _verdict(job, plan))):
        cause, message = "stopped early", shortened(verdict, MESSAGE)
    yield from emit(AttemptEnded(number=attempt.number, job_id=job.id, cause=cause, message=message))
    record = record.with_attempt(
        attempt.model_copy(update={"status": job.current_status, "cause": cause, "message": message}),
        failures=record.failures + (cause == "failed"),
        preemptions=record.preemptions + (cause == "preempted"),
        phase=_after_training(plan) if cause in ("completed", "stopped early") else "resuming",
    )
    return record, late


def _resume(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    newest, reason = yield from _patiently(plan, lambda: _newest(record))
    record = record.with_attempt(record.attempt.model_copy(update={"newest": newest}))
    failure = why_not_again(plan, record)
    if failure:
        return record.changed(phase="failed", failure=shortened(failure, FAILURE))
    attempt = next_attempt(plan, record)
    yield from emit(
        Resuming(
            attempt=attempt.number,
            job_id=newest.job_id if newest else None,
            checkpoint=newest.name if newest else None,
            reason=reason,
        )
    )
    return record.changed(attempts=(*record.attempts, attempt), phase="submitting")


def _choose(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    choice = yield from _patiently(plan, lambda: _choice(record, plan))
    return record.changed(choice=Chosen.of(choice), phase="deploying" if plan.deploy else "done")


def _deploy(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    deployment = yield from _patiently(plan, lambda: _deployment_of_choice(record, plan))
    return record.changed(deployment=_deployed(deployment), phase="serving")


def _serve(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    deployment = yield from _patiently(plan, lambda: _get_deployment(record))
    try:
        deployment = yield from deployments.wait_until_serving(deployment, limits=plan.serving)
    except DeploymentFailed:
        # Run again, it is to be deployed anew.
        yield from emit(RecordChanged(record=record.changed(deployment=None, phase="deploying")))
        raise
    return record.changed(deployment=_deployed(deployment), phase="done" if plan.question is None else "asking")


def _ask(record: RunRecord, plan: RunPlan) -> Flow[RunRecord]:
    deployment = yield from _patiently(plan, lambda: _get_deployment(record))
    answer = yield from deployments.ask(deployment, plan.question or {}, path=plan.question_path)
    beginning = shortened(json.dumps(answer, ensure_ascii=False), FAILURE) or ""
    yield from emit(ModelAnswered(model_id=deployment.model_id, deployment_id=deployment.id, answer=beginning))
    return record.changed(answer=beginning, phase="done")


_STEPS: Mapping[Phase, Callable[[RunRecord, RunPlan], Flow[RunRecord]]] = {
    "starting": _start,
    "submitting": _submit,
    "training": _train_to_the_last_line,
    "resuming": _resume,
    "choosing": _choose,
    "deploying": _deploy,
    "serving": _serve,
    "asking": _ask,
}


# ---------------------------------------------------------------- what the steps ask of the API


def _patiently(plan: RunPlan, ask: Callable[[], Flow[T]]) -> Flow[T]:
    return patiently(ask, plan.training.outage)


def _origin(record: RunRecord, plan: RunPlan) -> Flow[tuple[CheckpointRef, ...]]:
    pinned = []
    for reference in open_references(plan):
        pinned.append((yield from resolve(reference, plan.project.name, record.key)))
    return tuple(pinned)


def _wait(record: RunRecord, plan: RunPlan) -> Flow[tuple[TrainingJob, Flow[None]]]:
    """The job as it has ended, its log read, and a flow that looks for late lines."""
    job = yield from _patiently(plan, lambda: _get_job(record, record.attempt.job_id))
    log = jobs.LogReader(job) if plan.follow_logs else None

    def wait(*more: jobs.Companion) -> Flow[TrainingJob]:
        read = [log.read] if log else []
        early = [EarlyStop(plan.verdict)] if plan.verdict else []
        companions: list[jobs.Companion] = [*read, jobs.TwinWatch(), checkpoints.CheckpointWatch(), *early, *more]
        return jobs.wait(job, limits=plan.training, pace=jobs.LIVE if log else jobs.CALM, companions=companions)

    before = (yield from _patiently(plan, lambda: usage(record, without=job.id))) if plan.budget else Usage()
    ended = yield from within(plan.budget, before, job, wait)
    return ended, log.read_late(ended) if log else _nothing()


def _nothing() -> Flow[None]:
    yield from ()


def _verdict(job: TrainingJob, plan: RunPlan) -> Flow[str | None]:
    """Why a job that was stopped was to be stopped early; None where somebody else stopped it."""
    verdict = plan.verdict
    return (yield from _patiently(plan, lambda: verdict(job))) if verdict else None


def _newest(record: RunRecord) -> Flow[tuple[CheckpointRef | None, str]]:
    """The checkpoint to go on from, and why this one; or None, and why none."""
    try:
        found = yield from checkpoints.newest_verified((yield from jobs_of(record)))
    except NoUsableCheckpoint as error:
        return None, f"From the run's own starting point. {error.message}"
    return CheckpointRef(job_id=found.job_id, name=found.name, step=found.step), found.evidence


def _choice(record: RunRecord, plan: RunPlan) -> Flow[checkpoints.Choice]:
    attempts = yield from jobs_of(record)
    requirement = checkpoints.deployable if plan.deploy else checkpoints.complete
    best = plan.best
    if best is None:
        return (yield from checkpoints.find_newest(attempts, requirement=requirement))
    return (
        yield from checkpoints.find_best(
            attempts, best.metric, best.mode, sources=best.sources(), requirement=requirement
        )
    )


def _deployment_of_choice(record: RunRecord, plan: RunPlan) -> Flow[Deployment]:
    assert plan.deploy
    assert record.choice
    wanted = record.choice.checkpoint
    job = yield from _get_job(record, wanted.job_id)
    listed = yield from checkpoints.list_checkpoints(job)
    checkpoint = next((each for each in listed if each.checkpoint_id == wanted.name), None)
    if checkpoint is None:
        raise NoUsableCheckpoint(f"{jobs.describe(job)} has no checkpoint {wanted.name} any more.")
    return (yield from deployments.deploy(deployments.with_checkpoint(plan.deploy, checkpoint)))


def _get_job(record: RunRecord, job_id: str | None) -> Flow[TrainingJob]:
    return (yield from jobs.fetch(record.project_id or "", job_id or ""))


def _get_deployment(record: RunRecord) -> Flow[Deployment]:
    assert record.deployment
    return (yield from send(endpoints.get_deployment(record.deployment.model_id, record.deployment.deployment_id)))


def _deployed(deployment: Deployment) -> Deployed:
    return Deployed(model_id=deployment.model_id, deployment_id=deployment.id, status=deployment.status)


def _after_training(plan: RunPlan) -> Phase:
    return "choosing" if plan.best or plan.deploy else "done"
