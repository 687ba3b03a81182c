"""Waiting for the job of a run, with a deadline that stops it. Flows: workers and triggers drive the same."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truss_train_core import Flow
    from truss_train_core.events import LogCursor
    from truss_train_core.jobs import TrainingJob
    from truss_train_core.runs import Verdict


@dataclass(frozen=True)
class Attendance:
    """A job and how to wait for it.

    Attributes:
        project_id, job_id: which.
        timeout: seconds from the job's creation after which it is stopped; None for never.
        outage: seconds for which an API that does not answer is put up with.
        follow_logs: whether to read the job's log and look for its checkpoints as well, which are calls of its own.
        budget, used: of its run, as JSON.
        trial: of a sweep, as JSON, that is stopped early where it does poorly; None for a job of no sweep.
    """

    project_id: str
    job_id: str
    timeout: float | None = None
    outage: float = 1800.0
    follow_logs: bool = True
    budget: dict[str, Any] = field(default_factory=dict)
    used: dict[str, Any] = field(default_factory=dict)
    trial: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def attend(wanted: Attendance, cursor: LogCursor | None = None) -> Flow[TrainingJob]:
    """Wait until a job has ended, well or not; returns it as it is then.

    Args:
        wanted: which job, and how.
        cursor: where an earlier reader of its log stopped; None for the beginning.

    Raises:
        WaitTimeout: the deadline has passed, and the job was stopped; or could not be, and the message says that.
        BudgetSpent: the run has used what it may, and the job was stopped.
        JobNotFound: it was deleted.
        ApiError, Unreachable: an outage took longer than `outage`. The job goes on.
    """
    from truss_train_core import Limits, checkpoints, jobs, runs
    from truss_train_core.errors import WaitTimeout

    job = yield from jobs.fetch(wanted.project_id, wanted.job_id, outage=wanted.outage)
    left = None if wanted.timeout is None else max(0.0, job.created_at.timestamp() + wanted.timeout - time.time())
    limits = Limits(timeout=left, outage=wanted.outage)

    verdict = verdict_of(wanted.trial)
    early: list[jobs.Companion] = [runs.EarlyStop(verdict)] if verdict else []

    def wait(*meters: jobs.Companion) -> Flow[TrainingJob]:
        if not wanted.follow_logs:  # one call for all: none of this job's own
            return jobs.wait(job, limits=limits, companions=[*early, *meters])
        all_of_them: list[jobs.Companion] = [jobs.TwinWatch(), checkpoints.CheckpointWatch(), *early, *meters]
        return jobs.follow(job, cursor=cursor, limits=limits, pace=jobs.CALM, companions=all_of_them)

    try:
        return (yield from runs.within(runs.Budget(**wanted.budget), runs.Usage(**wanted.used), job, wait))
    except WaitTimeout:
        return (yield from _stop_overdue(job, wanted.timeout or 0.0))


def verdict_of(trial: Mapping[str, Any] | None) -> Verdict | None:
    """Whether a trial of a sweep, as `sweeps.Trial.model_dump`, is to be stopped early; None for a job of no sweep."""
    from truss_train_core import sweeps

    return sweeps.verdict(sweeps.Trial.model_validate(trial)) if trial else None


def still_runs(project_id: str, job_id: str) -> Flow[bool]:
    """Whether a job has not ended and was not deleted."""
    from truss_train_core import jobs
    from truss_train_core.errors import JobNotFound

    try:
        job = yield from jobs.fetch(project_id, job_id)
    except JobNotFound:
        return False
    return not job.is_terminal


def stop(project_id: str, job_id: str) -> Flow[TrainingJob | None]:
    """Ask a job to end, if it runs; returns it as it is then, or None where it was deleted."""
    from truss_train_core import jobs
    from truss_train_core.errors import JobNotFound

    try:
        job = yield from jobs.fetch(project_id, job_id)
        return job if job.is_terminal else (yield from jobs.stop(job))
    except JobNotFound:
        return None


def _stop_overdue(job: TrainingJob, timeout: float) -> Flow[TrainingJob]:
    """Stop a job whose time is up. If it completed at that very moment, it is returned after all."""
    from truss_train_core import jobs
    from truss_train_core.errors import TrussTrainError, WaitTimeout

    overdue = f"{jobs.describe(job)} has not ended {timeout:.0f} s after its creation"
    try:
        stopped = yield from jobs.stop(job)
    except TrussTrainError as error:
        raise WaitTimeout(
            f"{overdue}, and could not be stopped: {error}",
            hint=f"It may run and cost money: truss-train stop --job-id {job.id}",
        ) from error
    if stopped.succeeded:
        return stopped
    raise WaitTimeout(
        f"{overdue}, and was stopped.",
        hint="Its checkpoints stay: clear the task to go on from the newest, with a longer `training_timeout`.",
    )
