"""Events as people and as programs read them. A listener is a function of one event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from truss_train_core import events
from truss_train_core.api.flows import Event
from truss_train_core.cli import output
from truss_train_core.cli.logs import print_log

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Listener = Callable[[Event], None]


def json_lines(event: Event) -> None:
    """Print an event on stdout, as one line of JSON whose `event` is the name of its class."""
    output.print_json({"event": type(event).__name__, **event.model_dump(mode="json", exclude={"cursor"})}, indent=None)


def narrator(*, log: Console | None = None, replicas: bool = False) -> Listener:
    """A listener that prints log lines, and a line for every other event on stderr.

    Args:
        log: where log lines go; stdout if None.
        replicas: whether to say which replica a log line came from.
    """
    log = log or output.stdout()

    def tell(event: Event) -> None:
        if isinstance(event, events.LogLines):
            print_log(log, event.lines, replicas=replicas)
        elif line := sentence(event):
            output.message(shown(line))

    return tell


@contextmanager
def upload_bar(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while an archive of `total` bytes is uploaded; what it yields is told each number of bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    console = output.stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("uploading", total=total)
        yield lambda count: bar.advance(task, count)


class Line(NamedTuple):
    """What to say of an event: a sign, its style, and the words."""

    sign: str
    style: str
    text: str


def shown(line: Line) -> Text:
    """A line with the time before it."""
    from rich.text import Text

    time = datetime.now().strftime("%H:%M:%S")
    return Text.assemble((f"{time}  ", "dim"), (line.sign, line.style), " ", (line.text, "bold"))


_STEP = ("•", "cyan")
_DONE = ("✓", "green")
_AGAIN = ("↻", "magenta")
_STAR = ("★", "yellow")
_HEED = ("!", "yellow")
_BAD = ("✗", "red")


def sentence(event: Event) -> Line | None:
    """What to say of an event; None for one that says nothing to people."""
    match event:
        case events.AttemptStarted(number=number, job_name=name, started_from=origin):
            return Line(*_STEP, f"attempt {number}: {name}{f', from {origin}' if origin else ''}")
        case events.JobAdopted(job_id=job_id, job_name=name, status=status):
            return Line(*_STEP, f"{_named(name, job_id)} was submitted before and is {output.plain_status(status)}")
        case events.JobSubmitted(job_id=job_id, job_name=name, project_name=project):
            return Line(*_STEP, f"{_named(name, job_id)} submitted to project {project}")
        case events.TwinStopped(job_id=job_id, job_name=name, stays=stays):
            return Line(*_HEED, f"{_named(name, job_id)} was a twin of {stays} and was stopped")
        case events.JobStatusChanged(job_id=job_id, job_name=name, status=status, message=message):
            return Line(*_sign(status), f"{_named(name, job_id)} is {output.plain_status(status)}{because(message)}")
        case events.CheckpointSeen(checkpoint=name, size_bytes=count, complete=complete):
            return Line(*_DONE, f"{name} is complete, {output.size(count)}") if complete else None
        case events.AttemptEnded(number=number, cause=cause, message=message):
            return Line(*_sign(cause), f"attempt {number} {cause}{because(message)}")
        case events.Resuming(attempt=number, checkpoint=origin, reason=reason):
            return Line(*_AGAIN, f"attempt {number} goes on from {origin or 'the start'}: {reason}")
        case events.CheckpointChosen(checkpoint=name, reason=reason):
            return Line(*_STAR, f"{name} chosen: {reason}")
        case events.DeploymentAdopted(deployment_id=deployment_id, model_name=model):
            return Line(*_STEP, f"deployment {deployment_id} of model {model} was created before")
        case events.DeploymentCreated(deployment_id=deployment_id, model_name=model):
            return Line(*_STEP, f"deployment {deployment_id} of model {model} created")
        case events.DeploymentStatusChanged(deployment_id=deployment_id, status=status):
            return Line(*_sign(status), f"deployment {deployment_id} is {output.plain_status(status)}")
        case events.ModelAnswered(answer=answer):
            return Line(*_DONE, f"the model answers {answer}")
        case events.ApiOutage(error=error, seconds=seconds):
            return Line(*_HEED, f"no answer from the API for {output.duration(seconds)}, waiting on: {error}")
        case events.Notice(about=about, text=text):
            return Line(*_HEED, f"{about} {text}")
    return None


def _sign(status: str) -> tuple[str, str]:
    status = output.plain_status(status)
    if status in ("completed", "active"):
        return _DONE
    if status == "preempted":
        return _AGAIN
    return _BAD if status.endswith("failed") or status in ("stopped", "unhealthy") else _STEP


def because(message: str | None) -> str:
    """The first line of a message, to be put behind a status; nothing where there is none."""
    lines = (message or "").strip().splitlines()
    return f": {lines[0]}" if lines else ""


def _named(name: str | None, job_id: str) -> str:
    return f"job {name} ({job_id})" if name else f"job {job_id}"
