"""The jobs that wait or run, looked at again and again: as a live table, or as lines of JSON."""

from __future__ import annotations

import contextlib
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from truss_train_core import jobs
from truss_train_core.api import endpoints
from truss_train_core.api.flows import Event, Flow, emit, pause, send
from truss_train_core.api.models import TrainingJob
from truss_train_core.cli import output
from truss_train_core.cli.jobs import jobs_table
from truss_train_core.cli.progress import Listener, json_lines, line_about
from truss_train_core.errors import JobNotFound
from truss_train_core.waiting import jittered, patiently

LOOK = 2.0
"""Seconds between two looks."""


class JobsSeen(Event):
    """What a look found: the jobs that wait or run, and those that did in an earlier look. The newest first."""

    jobs: tuple[TrainingJob, ...]


def looks(project_id: str | None) -> Flow[None]:
    """Look at the jobs of a project or of the account for as long as somebody listens; each look is a `JobsSeen`."""
    seen: dict[str, TrainingJob] = {}
    while True:
        seen = yield from patiently(lambda: _look(project_id, seen), float("inf"))  # noqa: B023 - called at once
        newest_first = sorted(seen.values(), key=lambda job: job.created_at, reverse=True)
        yield from emit(JobsSeen(jobs=tuple(newest_first)))
        yield from pause(jittered(LOOK))


def _look(project_id: str | None, before: dict[str, TrainingJob]) -> Flow[dict[str, TrainingJob]]:
    """The jobs that are active, and those of `before` that have ended; without those that were deleted."""
    answer = yield from send(endpoints.active_jobs(project_id))
    seen = {job.id: job for job in answer.training_jobs}
    ended = {job.id: job for job in before.values() if job.is_terminal}
    left = [job for job in before.values() if job.id not in seen and job.id not in ended]
    for job in left:
        with contextlib.suppress(JobNotFound):  # it was deleted
            ended[job.id] = yield from jobs.fetch(job.training_project_id, job.id)
    return ended | seen


class JobsView:
    """Draws what `looks` finds. A listener, and a context manager that puts the terminal in order again."""

    def __init__(self, console: Console) -> None:
        self._live = Live(_picture(()), console=console, auto_refresh=False)

    def __enter__(self) -> JobsView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobsSeen):
            self._live.update(_picture(event.jobs), refresh=True)
        elif line := line_about(event):
            self._live.console.print(output.styled(line))


def json_changes() -> Listener:
    """A listener that prints a line for each job that is new, has changed, or was deleted, the oldest first."""
    before: dict[str, TrainingJob] = {}

    def tell(event: Event) -> None:
        nonlocal before
        if not isinstance(event, JobsSeen):
            json_lines(event)
            return
        now = {job.id: job for job in reversed(event.jobs)}
        for job_id in before.keys() - now.keys():
            output.print_json({"event": "JobDeleted", "training_job": before[job_id]}, indent=None)
        for job in now.values():
            if job != before.get(job.id):
                output.print_json({"event": "JobChanged", "training_job": job}, indent=None)
        before = now

    return tell


def _picture(seen: tuple[TrainingJob, ...]) -> RenderableType:
    return jobs_table(seen) if seen else Text("No job waits or runs.", style="dim")
