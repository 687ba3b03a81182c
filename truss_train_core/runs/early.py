"""Stopping a job before its end because it does not do well enough: it counts as trained, not as failed.

A verdict reads what the job has measured so far, and says why it is to end, or None. Verdicts stand: once there is one,
it is said of the same job ever after, by whoever asks. So nothing has to be kept between the process that stops a job
and the one that finds it stopped.
"""

from __future__ import annotations

from collections.abc import Callable

from truss_train_core import checkpoints, jobs
from truss_train_core.api.flows import Flow, emit, now
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints.watch import INTERVAL
from truss_train_core.events import Notice

Verdict = Callable[[TrainingJob], Flow[str | None]]
"""Why a job is to be stopped, with numbers; None while it may go on."""


class EarlyStop:
    """Asks for the verdict whenever a checkpoint of the job is complete, and stops the job when there is one.

    An instance is for one wait: `jobs.wait(job, companions=[runs.EarlyStop(verdict)])`.
    """

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._judged: frozenset[str] = frozenset()
        self._stopped = False
        self._next = 0.0

    def __call__(self, job: TrainingJob) -> Flow[None]:
        at = yield from now()
        if job.is_queued or job.is_terminal or self._stopped or at < self._next:
            return
        self._next = at + INTERVAL
        listed = yield from checkpoints.list_checkpoints(job)
        complete = frozenset(each.checkpoint_id for each in listed if each.sync_status == "COMPLETE")
        if complete <= self._judged:
            return
        if why := (yield from self._verdict(job)):
            yield from jobs.stop(job)
            self._stopped = True
            yield from emit(Notice(about=jobs.describe(job), text=f"is stopped early: {why}"))
        self._judged = complete
