"""Reading a job's log: every line once, none lost, from wherever a reader stopped.

The API hands out windows of time, at most seven days and a thousand lines each, and lines arrive late: a replica's
lines may become visible after later ones of another. So a reader keeps a `LogCursor`, the millisecond from which it
asks again and what it has seen from there on:

  * a full page is followed by one that starts at the millisecond of its last line, which is therefore read twice;
  * an empty window, of a job that was silent for a week, is followed by the next;
  * the last minute is read again each time, as far back as a few hundred lines go, and after the job's end the
    reader comes back a few times, unless the platform says that nothing will follow.

Lines are told apart by nanosecond, replica and text, and counted, so that a line that was really printed twice is
handed over twice.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, pause, send
from truss_train_core.api.models import LOG_LIMIT, LOG_WINDOW_MILLIS, LogLine, TrainingJob
from truss_train_core.events import LogCursor, LogLines, Notice
from truss_train_core.jobs.stopping import describe
from truss_train_core.jobs.watch import LIVE, Companion, Pace, passed_over, wait
from truss_train_core.waiting import FOREVER, Limits

LATE_MILLIS = 60_000
"""How late a line may become visible and still be read; also how far clocks may differ."""
SEEN_LIMIT = 500
"""How many seen lines a cursor remembers, unless more fell into one millisecond."""
ENDED_MILLIS = 24 * 3600 * 1000
"""How long after the end of a job its log is taken to be complete, however late one reads it."""
GRACE = (2.0, 3.0, 5.0)
"""Seconds between the looks for late lines after a job has ended."""


def log_start(job: TrainingJob) -> LogCursor:
    """The cursor of a reader who has read nothing yet."""
    return LogCursor(start_millis=_millis(job.created_at.timestamp()) - LATE_MILLIS)


def read_log(job: TrainingJob, cursor: LogCursor | None = None) -> Flow[LogCursor]:
    """Emit, as `LogLines`, what the log holds beyond the cursor; returns the cursor from which to read on.

    Args:
        job: whose log. How fresh this value is matters only for how far the log is read.
        cursor: where an earlier reader stopped; None for the beginning.
    """
    cursor = cursor or log_start(job)
    position: int | None = cursor.start_millis
    end = _horizon(job, (yield from now()))
    while position is not None:
        lines, cursor, position = yield from _read_page(job, cursor, position, end)
        if lines:
            yield from emit(LogLines(job_id=job.id, lines=lines, cursor=cursor))
        del lines  # two pages at once do not fit where a processor is fast
    return cursor


def fetch_log(job: TrainingJob) -> Flow[list[LogLine]]:
    """All lines of a job's log so far, in memory. `read_log` hands over what memory does not hold."""
    cursor = log_start(job)
    position: int | None = cursor.start_millis
    end = _horizon(job, (yield from now()))
    fetched: list[LogLine] = []
    while position is not None:
        lines, cursor, position = yield from _read_page(job, cursor, position, end)
        fetched += lines
    return fetched


def follow(
    job: TrainingJob,
    *,
    cursor: LogCursor | None = None,
    limits: Limits = FOREVER,
    pace: Pace = LIVE,
    companions: Iterable[Companion] = (),
) -> Flow[TrainingJob]:
    """Wait for a job as `wait` does, and emit its log meanwhile and until ten seconds after its end.

    Where the platform says that the log is complete, as the local one does, nothing is waited for after the end.

    The log decides nothing: while it cannot be read, the wait goes on.

    Args:
        job: which.
        cursor: where an earlier reader stopped, from the last `LogLines`; None for the beginning.
        limits: how long to wait.
        pace: how often to look.
        companions: what else to do after every look.

    Raises:
        WaitTimeout, JobNotFound, ApiError, Unreachable: as `wait`.
    """
    reader = LogReader(job, cursor)
    ended = yield from wait(job, limits=limits, pace=pace, companions=(reader.read, *companions))
    yield from reader.read_late(ended)
    return ended


class LogReader:
    """Emits the log of a job that is waited for: its `read` is a companion of the wait.

    For those who go on when the job has ended, and look for late lines beside that; `follow` does all in one.

    Args:
        job: which, as it is when the wait begins.
        cursor: where an earlier reader stopped; None for the beginning.
    """

    def __init__(self, job: TrainingJob, cursor: LogCursor | None = None) -> None:
        self._job = job
        self._cursor = cursor or log_start(job)
        self._began: float | None = None

    def read(self, job: TrainingJob) -> Flow[None]:
        """Emit what the log holds beyond what was read."""
        if self._began is None:
            self._began = yield from now()
        if not job.is_queued:
            self._cursor = yield from read_log(job, self._cursor)

    def read_late(self, ended: TrainingJob) -> Flow[None]:
        """Emit the lines that become visible in the next ten seconds.

        At once done where the job had ended long before, and where the platform said that its log is complete.

        Where the log cannot be read, whoever watches is told, and nobody else.
        """
        if self._job.is_terminal and (self._began or 0.0) - ended.updated_at.timestamp() >= LATE_MILLIS / 1000:
            return
        for seconds in GRACE:
            if self._cursor.complete:
                return
            yield from pause(seconds)
            yield from passed_over(self.read(ended))


def _read_page(
    job: TrainingJob, cursor: LogCursor, position: int, end: int
) -> Flow[tuple[tuple[LogLine, ...], LogCursor, int | None]]:
    """Ask for the lines from `position` on: the new ones, the cursor after them, and where the next page begins."""
    # Whatever was printed before this is visible by now, though clocks differ: `end` is a minute ahead of ours.
    settled = end - 3 * LATE_MILLIS
    end = max(end, position + LATE_MILLIS)
    window_end = min(end, position + LOG_WINDOW_MILLIS)
    request = endpoints.job_logs(
        job.training_project_id,
        job.id,
        start_epoch_millis=position,
        end_epoch_millis=window_end,
        direction="asc",
        limit=LOG_LIMIT,
    )
    answer = yield from send(request)
    lines, is_last = answer.logs, len(answer.logs) < LOG_LIMIT and window_end == end
    new = _unseen(lines, cursor.seen)

    def cursor_at(start: int, position: int | None = None) -> LogCursor:
        start = max(start, _again(lines, cursor.seen, settled, position))
        seen = _seen_since(start, lines, cursor.seen)
        return LogCursor(start_millis=start, seen=seen, complete=answer.complete and is_last)

    if is_last:
        return new, cursor_at(cursor.start_millis), None
    if len(lines) < LOG_LIMIT:
        return new, cursor_at(max(cursor.start_millis, window_end - LATE_MILLIS)), window_end
    last = _line_millis(lines[-1])
    if last > position:
        return new, cursor_at(cursor.start_millis, last), last
    yield from emit(
        Notice(
            about=f"log of {describe(job)}",
            text=f"holds {LOG_LIMIT} lines or more in the millisecond {last}; those beyond {LOG_LIMIT} cannot be read",
        )
    )
    return new, cursor_at(last + 1), last + 1


# Lines come in the order of their time, up to a thousand at once: what need not look at each of them does not.


def _unseen(lines: Sequence[LogLine], seen: Mapping[str, int]) -> tuple[LogLine, ...]:
    """Those of the lines that were not seen yet."""
    beyond = bisect_right(lines, max(map(_mark_millis, seen), default=-1), key=_line_millis)
    met: Counter[str] = Counter()
    new = []
    for line in lines[:beyond]:
        mark = _mark(line)
        met[mark] += 1
        if met[mark] > seen.get(mark, 0):
            new.append(line)
    return (*new, *lines[beyond:])


def _again(lines: Sequence[LogLine], seen: Mapping[str, int], settled: int, position: int | None) -> int:
    """From when on to read again: the last minute, or as much of it as may be late and fits; `position` in any case."""
    first, last = (_line_millis(lines[0]), _line_millis(lines[-1])) if lines else (0, -1)
    others = [at for mark in Counter(seen).elements() if not first <= (at := _mark_millis(mark)) <= last]
    newest = max([*others, last])
    if newest < 0:
        return 0
    again = max(newest - LATE_MILLIS, min(settled, newest))
    if again < newest and len(others) + len(lines) > SEEN_LIMIT:
        ordered = sorted([*others, *map(_line_millis, lines[-SEEN_LIMIT:])])
        again = max(again, ordered[-SEEN_LIMIT])
    return again if position is None else min(again, position)


def _seen_since(start: int, lines: Sequence[LogLine], seen: Mapping[str, int]) -> dict[str, int]:
    """What has been seen from `start` on."""
    here = Counter(map(_mark, lines[bisect_left(lines, start, key=_line_millis) :]))
    return here | Counter({mark: times for mark, times in seen.items() if _mark_millis(mark) >= start})


def _horizon(job: TrainingJob, at: float) -> int:
    """Until when there may be lines, in milliseconds. The server's clock counts where it is ahead of ours."""
    changed = _millis(job.updated_at.timestamp())
    latest = max(_millis(at), changed)
    return (min(latest, changed + ENDED_MILLIS) if job.is_terminal else latest) + LATE_MILLIS


def _mark(line: LogLine) -> str:
    text = f"{line.replica}\0{line.message}".encode()
    return f"{line.timestamp}.{hashlib.sha256(text).hexdigest()[:8]}"


def _line_millis(line: LogLine) -> int:
    return int(line.timestamp) // 1_000_000


def _mark_millis(mark: str) -> int:
    return int(mark.partition(".")[0]) // 1_000_000


def _millis(seconds: float) -> int:
    return int(seconds * 1000)
