"""What the attempts of a run may use, all together: running time, GPU-hours and money, and by when.

Time counts from the moment a job is released from the queue to its end. When that was is only told to administrators of
an organization (OpenAPI, `queue_context`); for other keys it counts from the job's creation, which is never too little,
and that is said. A GPU-hour is one GPU of one node for an hour.

The API tells no prices (OpenAPI), so what an hour of a node costs is said by the caller, and counts from release to end
like the time. The bill may count otherwise: it is an estimate, good enough to end a run that costs too much.

A run that has spent its budget has its job stopped, at the next look at it, and is not followed by another attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import Field, model_validator

from truss_train_core import jobs
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, send
from truss_train_core.api.models import TrainingJob
from truss_train_core.definitions import AvailabilityModel
from truss_train_core.errors import BudgetSpent, Forbidden, NotFound, Rejected, TrussTrainError, Unauthorized
from truss_train_core.events import Notice
from truss_train_core.runs.deadline import Deadline, hurry
from truss_train_core.runs.finding import jobs_of
from truss_train_core.runs.record import RunRecord
from truss_train_core.values import Setting, Value
from truss_train_core.waiting import FOREVER, Limits, patiently

_HOUR = 3600.0
_TIME_TO_STOP = 60.0
"""Seconds that a stopped job's processes and last checkpoints may take, before it is told of as it is then."""


class Usage(Value):
    """What jobs have used.

    Attributes:
        seconds: that they ran.
        gpu_seconds: the same times the GPUs of all their nodes.
        spot_node_seconds, dedicated_node_seconds: the same times their nodes, by capacity.
    """

    seconds: float = 0.0
    gpu_seconds: float = 0.0
    spot_node_seconds: float = 0.0
    dedicated_node_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        sums = {name: value + getattr(other, name) for name, value in self}
        return Usage.model_validate(sums)


class NodePrice(Setting):
    """What an hour of one node of the job's instance type costs, in any currency.

    Attributes:
        dedicated: on dedicated capacity.
        spot: on spot capacity; None for as much.
    """

    dedicated: float = Field(ge=0)
    spot: float | None = Field(default=None, ge=0)

    def cost(self, used: Usage) -> float:
        """What usage costs, in the price's currency."""
        spot = self.dedicated if self.spot is None else self.spot
        return (used.dedicated_node_seconds * self.dedicated + used.spot_node_seconds * spot) / _HOUR


class Budget(Setting):
    """How much all attempts of a run may use, and by when they have to be through.

    Attributes:
        runtime: seconds; None for any.
        gpu_hours: GPUs × nodes × hours; None for any.
        cost: in the currency of the price; None for any.
        price: what a node costs; None where that does not matter.
        deadline: by when; None for whenever.
    """

    runtime: float | None = Field(default=None, gt=0)
    gpu_hours: float | None = Field(default=None, gt=0)
    cost: float | None = Field(default=None, gt=0)
    price: NodePrice | None = None
    deadline: Deadline | None = None

    @model_validator(mode="after")
    def _knows_the_price(self) -> Budget:
        if self.cost is not None and self.price is None:
            raise ValueError("there is a budget of cost, but no price: the API tells none, so say what a node costs")
        return self

    def __bool__(self) -> bool:
        return any(limit is not None for limit in (self.runtime, self.gpu_hours, self.cost, self.deadline))

    def spent(self, used: Usage, at: float) -> str | None:
        """What of it is used up, in words; None while something is left of everything.

        Args:
            used: by all attempts.
            at: now, in seconds since the epoch.
        """
        if self.deadline and self.deadline.has_passed(at):
            return f"the deadline, {self.deadline}, has passed"
        if self.cost is not None and self.price and (cost := self.price.cost(used)) >= self.cost:
            return f"the cost is {money(cost)}, of {money(self.cost)} that may be spent"
        if self.gpu_hours is not None and used.gpu_seconds >= self.gpu_hours * _HOUR:
            return f"{used.gpu_seconds / _HOUR:.3g} GPU-hours are spent of {self.gpu_hours:g}"
        if self.runtime is not None and used.seconds >= self.runtime:
            return f"{used.seconds:.0f} s of running time are spent of {self.runtime:g} s"
        return None


def money(amount: float) -> str:
    """An amount in the price's currency, for people."""
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:.2g}"


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
    is_spot = job.availability_model == AvailabilityModel.SPOT.value
    nodes = seconds * job.node_count
    return Usage(
        seconds=seconds,
        gpu_seconds=seconds * gpus_of(job),
        spot_node_seconds=nodes if is_spot else 0.0,
        dedicated_node_seconds=0.0 if is_spot else nodes,
    )


def usage(record: RunRecord, *, without: str | None = None) -> Flow[Usage]:
    """What the attempts of a run have used so far.

    Args:
        record: of the run.
        without: id of a job that is left out.
    """
    total = Usage()
    for job in (yield from jobs_of(record)):
        if job.id != without and not job.is_queued:
            released = yield from released_at(job)
            total += usage_of(job, released or job.created_at.timestamp(), (yield from now()))
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
    if not budget:
        return
    used = yield from usage(record)
    if spent := budget.spent(used, (yield from now())):
        raise BudgetSpent(f"{spent}: no attempt of run {record.key} follows.", hint=_WHAT_NEXT)


_WHAT_NEXT = "Its checkpoints stay: allow for more and try again to go on from the newest."


@dataclass
class _Meter:
    """Reads what is used at every look, and ends the wait when that is everything. Hurries a job in the queue."""

    budget: Budget
    before: Usage
    released: dict[str, float] = field(default_factory=dict)

    def read(self, job: TrainingJob) -> Flow[None]:
        if job.is_terminal:
            return
        used = self.before if job.is_queued else self.before + (yield from self._used(job))
        if spent := self.budget.spent(used, (yield from now())):
            raise BudgetSpent(spent)
        if self.budget.deadline:
            yield from hurry(self.budget.deadline, job)

    def _used(self, job: TrainingJob) -> Flow[Usage]:
        if job.id not in self.released:
            self.released[job.id] = (yield from released_at(job)) or job.created_at.timestamp()
        return usage_of(job, self.released[job.id], (yield from now()))


def _stop(job: TrainingJob, why: str) -> Flow[TrainingJob]:
    """Stop a job; returns it as it has ended, or as it is after `_TIME_TO_STOP`."""
    try:
        stopped = yield from patiently(lambda: jobs.stop(job), FOREVER.outage)
    except TrussTrainError:
        text = f"could not be stopped, may run and costs money: {why}. truss-train stop --job-id {job.id}"
        yield from emit(Notice(about=jobs.describe(job), text=text))
        raise
    try:
        return (yield from jobs.wait(stopped, limits=Limits(timeout=_TIME_TO_STOP, outage=_TIME_TO_STOP)))
    except TrussTrainError:  # it ends by itself, and nobody has to see it
        return stopped


def released_at(job: TrainingJob) -> Flow[float | None]:
    """When a job left the queue, in seconds since the epoch; None, and a notice, where this key is not told."""
    try:
        context = yield from send(endpoints.queue_context(job.id))
    except (Forbidden, NotFound, Rejected, Unauthorized):
        text = "its time in the queue is not told to this key, and counts as running time"
        yield from emit(Notice(about=jobs.describe(job), text=text))
        return None
    return (context.released_at or job.created_at).timestamp()
