"""What a run took: for each attempt its time in the queue, its running time, how much of that was lost, and the cost.

Lost is what an attempt did after its last verified checkpoint, if it broke off: whoever goes on has to do that again.
An attempt without a verified checkpoint of its own lost all that it did. One that completed, or was stopped early by
the plan's verdict, lost nothing: nobody goes on from it.

Everything is read from the jobs as they are, so that a report can be made at any time, by whoever has the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from truss_train_core import checkpoints
from truss_train_core.api.flows import Flow, now, together
from truss_train_core.api.models import TrainingJob
from truss_train_core.errors import NoUsableCheckpoint
from truss_train_core.events import plain_status
from truss_train_core.runs.attempts import cause_of
from truss_train_core.runs.budget import NodePrice, Usage, money, released_at, usage_of
from truss_train_core.runs.finding import jobs_of
from truss_train_core.runs.record import Cause, RunRecord
from truss_train_core.values import Value


class AttemptReport(Value):
    """What one attempt took.

    Attributes:
        number: of the attempt, from 1.
        capacity: "spot" or "dedicated".
        ended: "completed", "stopped early", "failed", "preempted" or "stopped"; the job's status while it has
            not ended.
        started_from: name of the checkpoint; None for the run's own starting point, and where the record of a run of
            very many attempts does not tell it any more.
        queued: seconds in the queue; None where this key is not told, and they count as running time.
        used: from release to end, or until now.
        lost: seconds of that.
        cost: in the currency of the price; None without one.
    """

    number: int
    job_id: str
    job_name: str
    capacity: str
    ended: str
    started_from: str | None
    queued: float | None
    used: Usage
    lost: float
    cost: float | None

    @property
    def lost_cost(self) -> float | None:
        """What the lost time cost."""
        return None if self.cost is None else self.cost * self.lost / (self.used.seconds or 1.0)


class Report(Value):
    """What a run took. `str()` is a table in plain text, `rows()` the same for other tables.

    Attributes:
        key: of the run.
        attempts: the first one first.
    """

    key: str
    attempts: tuple[AttemptReport, ...]

    @property
    def used(self) -> Usage:
        """By all attempts."""
        return sum((each.used for each in self.attempts), Usage())

    @property
    def queued(self) -> float:
        """Seconds in the queue, as far as they are told."""
        return sum(each.queued or 0.0 for each in self.attempts)

    @property
    def lost(self) -> float:
        """Seconds of running time."""
        return sum(each.lost for each in self.attempts)

    @property
    def preemptions(self) -> int:
        return sum(each.ended == "preempted" for each in self.attempts)

    @property
    def cost(self) -> float | None:
        return _sum([each.cost for each in self.attempts])

    @property
    def lost_cost(self) -> float | None:
        return _sum([each.lost_cost for each in self.attempts])

    def rows(self) -> list[dict[str, str]]:
        """A row for each attempt and one for all, by the heads of the columns; costs only where there is a price."""
        rows = [
            {
                "attempt": str(each.number),
                "job": each.job_name,
                "capacity": each.capacity,
                "ended": each.ended,
                "from": each.started_from or "the start",
                **_figures(each.queued, each.used.seconds, each.lost, each.cost, each.lost_cost),
            }
            for each in self.attempts
        ]
        preempted = f"{self.preemptions} preempted" if self.preemptions else ""
        total = {"attempt": "total", "job": "", "capacity": "", "ended": preempted, "from": ""}
        return [*rows, {**total, **_figures(self.queued, self.used.seconds, self.lost, self.cost, self.lost_cost)}]

    def __str__(self) -> str:
        rows = self.rows()
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def report(record: RunRecord, price: NodePrice | None = None) -> Flow[Report]:
    """What the attempts of a run took so far.

    Args:
        record: of the run.
        price: what a node costs; without, no costs are told.

    Raises:
        ApiError, Unreachable: the API cannot be asked.
    """
    starts = {each.job_name: each.started_from.name for each in record.attempts if each.started_from}
    early = {each.job_name for each in record.attempts if each.cause == "stopped early"}
    jobs = yield from jobs_of(record)
    causes: list[Cause] = ["stopped early" if job.name in early else cause_of(job) for job in jobs]
    attempts = yield from together(
        _attempt(job, cause, starts.get(job.name or ""), price) for job, cause in zip(jobs, causes, strict=True)
    )
    return Report(key=record.key, attempts=tuple(attempts))


def _attempt(job: TrainingJob, cause: Cause, started_from: str | None, price: NodePrice | None) -> Flow[AttemptReport]:
    created = job.created_at.timestamp()
    at = yield from now()
    released = None if job.is_queued else (yield from released_at(job))
    waited_until = at if job.is_queued else released
    used = usage_of(job, released or created, at)
    return AttemptReport(
        number=int((job.name or "").rpartition("-")[2]),
        job_id=job.id,
        job_name=job.name or "",
        capacity=job.availability_model,
        ended=cause if job.is_terminal else plain_status(job.current_status),
        started_from=started_from,
        queued=None if waited_until is None else max(0.0, waited_until - created),
        used=used,
        lost=(yield from _lost(job, cause, used.seconds)),
        cost=price.cost(used) if price else None,
    )


def _lost(job: TrainingJob, cause: Cause, ran: float) -> Flow[float]:
    """Seconds that a job which broke off ran after its last verified checkpoint."""
    if cause in ("completed", "stopped early") or not job.is_terminal:
        return 0.0
    try:
        last = yield from checkpoints.newest_verified([job])
    except NoUsableCheckpoint:
        return ran
    return min(ran, max(0.0, (job.updated_at - last.created_at).total_seconds()))


def _sum(amounts: Sequence[float | None]) -> float | None:
    known = [each for each in amounts if each is not None]
    return sum(known) if known else None


def _figures(
    queued: float | None, ran: float, lost: float, cost: float | None, lost_cost: float | None
) -> Mapping[str, str]:
    times = {"queued": "not told" if queued is None else _clock(queued), "ran": _clock(ran), "lost": _clock(lost)}
    if cost is None or lost_cost is None:
        return times
    return {**times, "cost": money(cost), "lost cost": money(lost_cost)}


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
