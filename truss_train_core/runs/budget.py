"""What the attempts of a run may use, all together: running time, and GPU-hours.

Time counts from the moment a job is released from the queue to its end. When that was is only told to administrators of
an organization (OpenAPI, `queue_context`); for other keys it counts from the job's creation, which is never too little,
and that is said. A GPU-hour is one GPU of one node for an hour.

A run that has spent its budget has its job stopped, at the next look at it, and is not followed by another attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from truss_train_core import jobs
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, send
from truss_train_core.api.models import TrainingJob
from truss_train_core.errors import BudgetSpent, Forbidden, NotFound, Rejected, TrussTrainError, Unauthorized
from truss_train_core.events import Notice
from truss_train_core.runs.finding import jobs_of
from truss_train_core.runs.record import RunRecord
from truss_train_core.waiting import FOREVER, patiently

_HOUR = 3600.0


class Usage(BaseModel):
    """What jobs have used: seconds that they ran, and the same times their GPUs."""

    model_config = ConfigDict(frozen=True)

    seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(seconds=self.seconds + other.seconds, gpu_seconds=self.gpu_seconds + other.gpu_seconds)


class Budget(BaseModel):
    """How much all attempts of a run may use.

    Attributes:
        runtime: seconds; None for any.
        gpu_hours: GPUs × nodes × hours; None for any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: float | None = Field(default=None, gt=0)
    gpu_hours: float | None = Field(default=None, gt=0)

    def __bool__(self) -> bool:
        return self.runtime is not None or self.gpu_hours is not None

    def spent(self, used: Usage) -> str | None:
        """What of it is used up, in words; None while something is left of everything."""
        if self.gpu_hours is not None and used.gpu_seconds >= self.gpu_hours * _HOUR:
            return f"{used.gpu_seconds / _HOUR:.3g} GPU-hours are spent of {self.gpu_hours:g}"
        if self.runtime is not None and used.seconds >= self.runtime:
            return f"{used.seconds:.0f} s of running time are spent of {self.runtime:g} s"
        return None


def gpus_of(job: TrainingJob) -> int:
    """The GPUs of all nodes of a job."""
    return (job.instance_type.gpu_count if job.instance_type else 0) * job.node_count


def usage_of(job: TrainingJob, released: float, at: float) -> Usage:
    """What a job has used.

    Args:
        job: as it is now.
        released: when it was released from the queue, in seconds since the epoch.
        at: now.
    """
    if job.is_queued:
        return Usage()
    seconds = max(0.0, (job.updated_at.timestamp() if job.is_terminal else at) - released)
    return Usage(seconds=seconds, gpu_seconds=seconds * gpus_of(job))


def usage(record: RunRecord, *, without: str | None = None) -> Flow[Usage]:
    """What the attempts of a run have used so far.

    Args:
        record: of the run.
        without: id of a job that is left out.
    """
    total = Usage()
    for job in (yield from jobs_of(record)):
        if job.id != without and not job.is_queued:
            total += usage_of(job, (yield from _released(job)), (yield from now()))
    return total


def within(
    budget: Budget, before: Usage, job: TrainingJob, wait: Callable[..., Flow[TrainingJob]]
) -> Flow[TrainingJob]:
    """Wait for the job of an attempt, and stop it once the run has spent its budget.

    Args:
        budget: of the run.
        before: what its other attempts have used.
        job: of this one.
        wait: a wait for it, given companions to take along: one, or none where nothing is limited.

    Raises:
        BudgetSpent: the job was stopped.
        WaitTimeout, JobNotFound, ApiError, Unreachable: as `wait`; or the job could not be stopped, and that is said.
    """
    if not budget:
        return (yield from wait())
    try:
        return (yield from wait(_Meter(budget, before).read))
    except BudgetSpent as spent:
        stopped = yield from _stop(job, spent.message)
        if stopped.succeeded:  # at that very moment
            return stopped
        raise BudgetSpent(f"{spent.message}, and {jobs.describe(job)} was stopped.", hint=_WHAT_NEXT) from spent


def refuse_if_spent(budget: Budget, record: RunRecord) -> Flow[None]:
    """Make sure that something is left for another attempt.

    Raises:
        BudgetSpent: nothing is. Nothing of the run runs any more.
    """
    if budget and (spent := budget.spent((yield from usage(record)))):
        raise BudgetSpent(f"{spent} by the attempts of run {record.key}: no other follows.", hint=_WHAT_NEXT)


_WHAT_NEXT = "Its checkpoints stay: raise the budget and try again to go on from the newest."


@dataclass
class _Meter:
    """Reads what is used at every look, and ends the wait when that is everything."""

    budget: Budget
    before: Usage
    released: dict[str, float] = field(default_factory=dict)

    def read(self, job: TrainingJob) -> Flow[None]:
        if job.is_queued or job.is_terminal:
            return
        if job.id not in self.released:
            self.released[job.id] = yield from _released(job)
        used = self.before + usage_of(job, self.released[job.id], (yield from now()))
        if spent := self.budget.spent(used):
            raise BudgetSpent(spent)


def _stop(job: TrainingJob, why: str) -> Flow[TrainingJob]:
    try:
        return (yield from patiently(lambda: jobs.stop(job), FOREVER.outage))
    except TrussTrainError:
        text = f"could not be stopped, may run and costs money: {why}. truss-train stop --job-id {job.id}"
        yield from emit(Notice(about=jobs.describe(job), text=text))
        raise


def _released(job: TrainingJob) -> Flow[float]:
    """When a job left the queue, in seconds since the epoch."""
    try:
        context = yield from send(endpoints.queue_context(job.id))
    except (Forbidden, NotFound, Rejected, Unauthorized):
        text = "its time in the queue is not told to this key, and counts as running time"
        yield from emit(Notice(about=jobs.describe(job), text=text))
        return job.created_at.timestamp()
    return (context.released_at or job.created_at).timestamp()
