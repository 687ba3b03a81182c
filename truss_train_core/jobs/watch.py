"""Waiting for jobs: one question per interval for all of them, an outage survived, nobody's job ended by a timeout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, Glance, emit, now, send
from truss_train_core.api.models import JobsAnswer, JobStatus, TrainingJob
from truss_train_core.api.request import Request
from truss_train_core.errors import ApiError, JobFailed, JobNotFound, NotFound, Unreachable, WaitTimeout
from truss_train_core.events import ApiOutage, JobStatusChanged, Notice
from truss_train_core.jobs.stopping import describe
from truss_train_core.waiting import FOREVER, Limits, wait_until

_active_jobs = lru_cache(maxsize=64)(endpoints.active_jobs)  # asked over and over by every wait

Companion = Callable[[TrainingJob], Flow[None]]
"""What goes along with a wait: called with a job after every look at it, the last one included."""

SYNC_LIMIT = 30 * 60.0
"""Seconds that the copying of checkpoints may take after a job has ended."""


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks: `shortest` at first, growing with the time spent in a status, up to `longest`.

    The pause is a part of that time: a quarter until that is 2 s, then a 240th while the job runs and a sixtieth in any
    other status. So a job that ends in its first minutes is seen to end at once, and one that trains for days is asked
    after twice a minute.
    """

    shortest: float = 2.0
    longest: float = 30.0

    def interval(self, job: TrainingJob, age: float) -> float:
        """Seconds until the next look at a job that has been in its status for `age` seconds."""
        part = 240.0 if job.current_status == JobStatus.RUNNING else 60.0
        return min(self.longest, max(self.shortest, min(2.0, age / 4.0), age / part))


CALM = Pace()
LIVE = Pace(shortest=0.25, longest=10.0)
"""For someone who looks on."""


def poll(jobs: Sequence[TrainingJob]) -> Flow[dict[str, TrainingJob]]:
    """The jobs as they are now, by id; those that were deleted are missing.

    One call for all of them, of the project where it is one and of the account otherwise, and one for each job that
    is no longer among the active ones. The first is a call that many waits can share, see `Client(share=…)`.
    """
    answer = yield from send(_question(jobs))
    found: dict[str, TrainingJob] = {}
    for job in jobs:
        try:
            found[job.id] = (
                answer.by_id.get(job.id)
                or (yield from send(endpoints.get_job(job.training_project_id, job.id))).training_job
            )
        except NotFound:
            continue
    return found


def _question(jobs: Iterable[TrainingJob]) -> Request[JobsAnswer]:
    projects = {job.training_project_id for job in jobs}
    return _active_jobs(next(iter(projects)) if len(projects) == 1 else None)


def wait(
    job: TrainingJob,
    *,
    limits: Limits = FOREVER,
    pace: Pace = CALM,
    companions: Iterable[Companion] = (),
) -> Flow[TrainingJob]:
    """Wait until a job has ended, well or not, and its checkpoints are copied; returns it as it is then.

    Statuses that this version does not know count as running.

    Args:
        job: which.
        limits: how long to wait; without a timeout by default.
        pace: how often to look.
        companions: what to do after every look. An API error in one is reported and passed over; any other error ends
            the wait.

    Raises:
        WaitTimeout: the limit has passed. The job goes on.
        JobNotFound: it was deleted meanwhile.
        ApiError, Unreachable: an outage took longer than `limits.outage`. The job goes on.
    """
    ended = yield from wait_all([job], limits=limits, pace=pace, companions=companions)
    if job.id not in ended:
        raise JobNotFound(f"{describe(job)} was deleted while it was waited for.")
    return ended[job.id]


def wait_all(
    jobs: Iterable[TrainingJob],
    *,
    limits: Limits = FOREVER,
    pace: Pace = CALM,
    companions: Iterable[Companion] = (),
) -> Flow[dict[str, TrainingJob]]:
    """Wait until all of these jobs have ended; as `wait`, one question for all. By id; deleted ones are missing."""
    watch = _Watch(pace, tuple(companions), {job.id: job for job in jobs})
    if not watch.pending:
        return {}
    yield from wait_until(
        lambda pending: not pending,
        watch.look,
        pace=watch.interval,
        limits=limits,
        overdue=watch.overdue,
        glance=watch.glance,
    )
    return watch.ended


def expect_completed(job: TrainingJob) -> TrainingJob:
    """The job, if it completed.

    Raises:
        JobFailed: it ended otherwise, or has not ended.
    """
    if job.succeeded:
        return job
    cause = f": {job.error_message.strip()}" if job.error_message else ""
    raise JobFailed(
        f"{describe(job)} of project {job.training_project.name!r} is {job.current_status}{cause}",
        hint=f"Its log says more: truss-train logs --job-id {job.id}",
        job_id=job.id,
        status=job.current_status,
    )


@dataclass
class _Watch:
    """The state of one wait: which jobs are pending, and since when they are as they are."""

    pace: Pace
    companions: Sequence[Companion]
    pending: dict[str, TrainingJob]
    ended: dict[str, TrainingJob] = field(default_factory=dict)
    seen: dict[str, tuple[str, float]] = field(default_factory=dict)  # status, and since when
    at: float = 0.0  # of the last look

    def look(self) -> Flow[Mapping[str, TrainingJob]]:
        """Look at all pending jobs once; returns those that are pending still."""
        latest = yield from poll(list(self.pending.values()))
        at = self.at = yield from now()
        for job_id in list(self.pending):
            job = latest.get(job_id)
            if job is None:
                del self.pending[job_id]
                continue
            yield from self._note(job, at)
            self.pending[job_id] = job
            for companion in self.companions:
                yield from passed_over(companion(job))
            if job.is_terminal and (yield from self._settled(job, at)):
                self.ended[job_id] = self.pending.pop(job_id)
        return self.pending

    def glance(self) -> Glance[JobsAnswer] | None:
        """What is enough of a look while all jobs are as they were: companions come along with every look."""
        return None if self.companions else Glance(_question(self.pending.values()), self.still)

    def still(self, answer: JobsAnswer, at: float) -> float | None:
        """Seconds until the next look, where the answer leaves nothing to do."""
        for job_id, job in self.pending.items():
            latest = answer.by_id.get(job_id)
            if latest is None or latest.current_status != job.current_status or latest.is_terminal:
                return None
            self.pending[job_id] = latest
        self.at = at
        return self.interval(self.pending)

    def interval(self, pending: Mapping[str, TrainingJob]) -> float:
        return min(self.pace.interval(job, self.at - self.seen[job.id][1]) for job in pending.values())

    def overdue(self, seconds: float) -> WaitTimeout:
        jobs = list(self.pending.values())
        first = jobs[0]
        others = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        return WaitTimeout(
            f"{describe(first)}{others} is still {first.current_status} after {seconds:.0f} s. "
            "It goes on and may cost money.",
            hint=f"Come back with `truss-train logs --tail --job-id {first.id}`, "
            f"or end it with `truss-train stop --job-id {first.id}`.",
        )

    def _note(self, job: TrainingJob, at: float) -> Flow[None]:
        known = self.seen.get(job.id)
        if known and known[0] == job.current_status:
            return
        # Of a job that is met for the first time, only its age is known.
        self.seen[job.id] = (job.current_status, at if known else min(at, job.created_at.timestamp()))
        yield from emit(
            JobStatusChanged(
                job_id=job.id, job_name=job.name, status=job.current_status, message=job.error_message or None
            )
        )

    def _settled(self, job: TrainingJob, at: float) -> Flow[bool]:
        if not job.is_syncing:
            return True
        if at - max(self.seen[job.id][1], job.updated_at.timestamp()) < SYNC_LIMIT:
            return False
        text = f"has ended, but its checkpoints are still being copied after {SYNC_LIMIT / 60:.0f} minutes"
        yield from emit(Notice(about=describe(job), text=text))
        return True


def passed_over(flow: Flow[None]) -> Flow[None]:
    """A flow whose failure at the API is told to whoever watches, and to nobody else."""
    try:
        yield from flow
    except (ApiError, Unreachable) as error:
        yield from emit(ApiOutage(error=str(error), seconds=0.0))
