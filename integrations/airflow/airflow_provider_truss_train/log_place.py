"""Where the reader of a job's log is, kept where the next triggerer finds it: in an XCom of the waiting task.

A trigger that is taken over by another triggerer starts from the arguments it once had, and would show the whole log
again. So the place is kept with the first lines that are shown, soon again with the next ones, and then every half
minute: what a death makes appear twice are the lines since. Kept before they are shown, they would be lost instead.
Airflow removes the XComs of a task before each of its tries, each of which has a log of its own.
"""

from __future__ import annotations

import time
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from airflow_provider_truss_train.airflow_side import Log, get_xcom, set_xcom, teller

if TYPE_CHECKING:
    from truss_train_core import Event
    from truss_train_core.events import LogCursor

KEY = "truss_train_log"
INTERVALS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between two times of keeping the place, at least; the last goes for all further ones."""


class LogPlace:
    """A listener that tells what happens in a log, and keeps how far the job's log has been told.

    Args:
        ti: the waiting task; None where there is none, and nothing is kept.
        job_id: whose log.
        log: where to tell it.
    """

    def __init__(self, ti: Any, job_id: str, log: Log) -> None:
        self._ti = ti
        self._job_id = job_id
        self._log = log
        self._tell = teller(log)
        self._intervals = chain(INTERVALS, repeat(INTERVALS[-1]))
        self._due = 0.0

    async def kept(self) -> LogCursor | None:
        """Where an earlier reader of this job's log was."""
        from truss_train_core.events import LogCursor

        kept = await sync_to_async(get_xcom)(self._ti, KEY) if self._ti else None
        return LogCursor.model_validate(kept["cursor"]) if kept and kept["job_id"] == self._job_id else None

    async def hear(self, event: Event) -> None:
        """Tell of an event, and keep the place if it is time."""
        from truss_train_core import events

        self._tell(event)
        if self._ti and isinstance(event, events.LogLines) and time.monotonic() >= self._due:
            self._due = time.monotonic() + next(self._intervals)
            place = {"job_id": self._job_id, "cursor": event.cursor.model_dump(mode="json")}
            await sync_to_async(set_xcom)(self._ti, KEY, place)
