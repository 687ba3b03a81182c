"""By when a run has to be through with its training, and what that changes.

Spot capacity is cheap because it may be taken away; a run that loses it close to its deadline may not come back in
time. So from `margin` seconds before the deadline on, an attempt that begins gets dedicated capacity, and one that
still waits in the queue for spot capacity is moved there. What runs already is left alone: it may well get through,
and a move would cost the work since its last checkpoint.

The margin is a figure that the caller gives, not an estimate: as long as the whole training takes undisturbed is always
enough. That it may be more than is still needed costs little, since what is moved is no more than the rest.

A moment, and not a span: it is the same for whoever takes up the run, even one that has lost its record.
"""

from __future__ import annotations

from datetime import timedelta, timezone

from pydantic import AwareDatetime, Field

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, send
from truss_train_core.api.models import TrainingJob
from truss_train_core.definitions import AvailabilityModel, TrainingProject
from truss_train_core.errors import Rejected
from truss_train_core.events import MovedToDedicated
from truss_train_core.values import Setting


class Deadline(Setting):
    """By when a run has to be through with its training.

    Attributes:
        at: the moment, with its time zone. What still runs then is stopped.
        margin: seconds before it from which on attempts do not begin on spot capacity; 0 for never.
    """

    at: AwareDatetime
    margin: float = Field(default=0.0, ge=0)

    def __str__(self) -> str:
        return f"{self.at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"

    def has_passed(self, at: float) -> bool:
        """Whether it is over at a moment, in seconds since the epoch."""
        return at >= self.at.timestamp()

    def is_near(self, at: float) -> bool:
        """Whether less than the margin remains at a moment, in seconds since the epoch."""
        return at > self.at.timestamp() - self.margin

    def why_dedicated(self, at: float) -> str:
        """Why an attempt does not begin on spot capacity, in words."""
        left = timedelta(seconds=max(0, round(self.at.timestamp() - at)))
        margin = timedelta(seconds=round(self.margin))
        return f"{left} are left until the deadline at {self}, less than the margin of {margin}"


def on_capacity_in_time(deadline: Deadline | None, project: TrainingProject) -> Flow[TrainingProject]:
    """The definition of an attempt that begins now: on dedicated capacity where the deadline is near."""
    job = project.job
    if deadline is None or job.compute.availability_model != AvailabilityModel.SPOT:
        return project
    at = yield from now()
    if not deadline.is_near(at):
        return project
    yield from emit(MovedToDedicated(job_name=job.name or "", reason=deadline.why_dedicated(at)))
    compute = job.compute.model_copy(update={"availability_model": AvailabilityModel.DEDICATED})
    return project.model_copy(update={"job": job.model_copy(update={"compute": compute})})


def hurry(deadline: Deadline, job: TrainingJob) -> Flow[None]:
    """Move a job that waits for spot capacity to dedicated capacity, where the deadline is near."""
    if not job.is_queued or job.availability_model != AvailabilityModel.SPOT.value:
        return
    at = yield from now()
    if not deadline.is_near(at):
        return
    dedicated = AvailabilityModel.DEDICATED.value
    try:
        yield from send(endpoints.update_job(job.training_project_id, job.id, availability_model=dedicated))
    except Rejected:  # it has left the queue at this very moment
        return
    yield from emit(MovedToDedicated(job_name=job.name or job.id, reason=deadline.why_dedicated(at)))
