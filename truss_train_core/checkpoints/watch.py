"""Telling of checkpoints while a job runs: a companion of a wait."""

from __future__ import annotations

from truss_train_core.api.flows import Flow, emit, now
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints.listing import list_checkpoints, step_of
from truss_train_core.events import CheckpointSeen

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
        if at < self._next.get(job.id, 0.0) and not job.is_terminal:
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
