"""Metrics and progress for the live picture of a run: read beside it, so that it never waits for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from truss_train_core import checkpoints, jobs
from truss_train_core.errors import TrussTrainError

if TYPE_CHECKING:
    from truss_train_core.api.client import Client
    from truss_train_core.api.flows import Flow
    from truss_train_core.checkpoints import Candidate, TrainerState

Tell = Callable[["list[Candidate]", "TrainerState | None"], None]
"""Is told a job's checkpoints, and the newest training state in them."""


class Gauge:
    """Reads the checkpoints of jobs in a thread of its own.

    What cannot be read is missing from the picture, and from nothing else.
    """

    def __init__(self, client: Client, tell: Tell) -> None:
        self._client, self._tell = client, tell
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="gauge", daemon=True).start()

    def look(self, job_id: str) -> None:
        """There is something new at this job."""
        self._asked.put(job_id)

    def _read(self) -> None:
        while True:
            job_ids = {self._asked.get()}
            while not self._asked.empty():
                job_ids.add(self._asked.get())
            for job_id in job_ids:
                try:
                    self._tell(*self._client.run(_measure(job_id)))
                except TrussTrainError:
                    continue


def _measure(job_id: str) -> Flow[tuple[list[Candidate], TrainerState | None]]:
    job = yield from jobs.find(job_id)
    found = yield from checkpoints.candidates([job])
    surveyed = yield from checkpoints.survey(job)
    for newest in reversed(surveyed.checkpoints):
        if state := (yield from checkpoints.read_state(surveyed, newest)):
            return found, state
    return found, None
