"""Checkpoints while a job runs: telling of them, a companion of a wait; and waiting for one."""

from __future__ import annotations

from dataclasses import dataclass

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, send
from truss_train_core.api.models import Checkpoint, CheckpointsAnswer, TrainingJob
from truss_train_core.checkpoints.listing import list_checkpoints, oldest_first, step_of
from truss_train_core.errors import JobNotFound, NotFound, NoUsableCheckpoint, WaitTimeout
from truss_train_core.events import CheckpointSeen
from truss_train_core.waiting import FOREVER, Limits, wait_until

INTERVAL = 5.0
"""Seconds between two listings, at least."""


class CheckpointWatch:
    """Emits `CheckpointSeen` for each checkpoint, when it appears and when it is complete.

    An instance is for one wait: `jobs.wait(job, companions=[CheckpointWatch()])`.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], bool] = {}
        self._next: dict[str, float] = {}

    def __call__(self, job: TrainingJob) -> Flow[None]:
        at = yield from now()
        if job.is_queued or (at < self._next.get(job.id, 0.0) and not job.is_terminal):
            return
        self._next[job.id] = at + INTERVAL
        for checkpoint in (yield from list_checkpoints(job)):
            complete = checkpoint.sync_status == "COMPLETE"
            key = (job.id, checkpoint.checkpoint_id)
            if key not in self._told or (complete and not self._told[key]):
                self._told[key] = complete
                yield from emit(
                    CheckpointSeen(
                        job_id=job.id,
                        checkpoint=checkpoint.checkpoint_id,
                        step=step_of(checkpoint.checkpoint_id),
                        size_bytes=checkpoint.size_bytes,
                        created_at=checkpoint.created_at,
                        complete=complete,
                    )
                )


def wait_for(job: TrainingJob, *, step: int = 0, limits: Limits = FOREVER) -> Flow[Checkpoint]:
    """Wait until a job has a complete checkpoint of at least this step; returns the earliest such.

    Args:
        job: whose checkpoint.
        step: the training step that its name tells, at least. Names that tell none will do only for step 0.
        limits: how long to wait.

    Raises:
        NoUsableCheckpoint: the job has ended without one.
        JobNotFound: the job was deleted.
        WaitTimeout: the limit has passed. The job goes on.
        ApiError, Unreachable: an outage took longer than `limits.outage`.
    """
    awaited = _Awaited(job, step)
    yield from wait_until(
        awaited.is_decided, awaited.look, pace=lambda _: INTERVAL, limits=limits, overdue=awaited.overdue
    )
    if awaited.found is None:
        raise NoUsableCheckpoint(
            f"Job {job.name or job.id} ended as {awaited.job.current_status} "
            f"without a complete checkpoint of step {step} or later."
        )
    return awaited.found


@dataclass
class _Awaited:
    """The state of one wait for a checkpoint."""

    job: TrainingJob
    step: int
    found: Checkpoint | None = None

    def look(self) -> Flow[CheckpointsAnswer]:
        try:
            answer = yield from send(endpoints.list_checkpoints(self.job.training_project_id, self.job.id))
        except NotFound as error:
            raise JobNotFound(
                f"Job {self.job.name or self.job.id} was deleted while its checkpoint was waited for."
            ) from error
        self.job = answer.training_job
        self.found = next((each for each in oldest_first(answer.checkpoints) if self._will_do(each)), None)
        return answer

    def is_decided(self, _: CheckpointsAnswer) -> bool:
        return self.found is not None or (self.job.is_terminal and not self.job.is_syncing)

    def overdue(self, seconds: float) -> WaitTimeout:
        return WaitTimeout(
            f"Job {self.job.name or self.job.id} has no complete checkpoint of step {self.step} or later after "
            f"{seconds:.0f} s. It is {self.job.current_status}, goes on and may cost money."
        )

    def _will_do(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.sync_status == "COMPLETE" and (step_of(checkpoint.checkpoint_id) or 0) >= self.step
