"""Events as people and as programs read them. A listener is a function of one event."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import singledispatch
from typing import TYPE_CHECKING, NamedTuple

from truss_train_core import events
from truss_train_core.api.flows import Event
from truss_train_core.cli import output
from truss_train_core.cli.logs import print_log

if TYPE_CHECKING:
    from rich.text import Text

Listener = Callable[[Event], None]


def json_lines(event: Event) -> None:
    """Print an event on stdout, as one line of JSON whose `event` is the name of its class."""
    output.print_json({"event": type(event).__name__, **event.model_dump(mode="json", exclude={"cursor"})}, indent=None)


def narrator(*, replicas: bool = False) -> Listener:
    """A listener that prints log lines on stdout, and a line for every other event on stderr.

    `replicas`: whether to say which replica a log line came from.
    """

    def tell(event: Event) -> None:
        if isinstance(event, events.LogLines):
            print_log(output.stdout(), event.lines, replicas=replicas)
        elif line := sentence(event):
            output.message(shown(line))

    return tell


class Line(NamedTuple):
    """What to say of an event: a sign, its style, and the words."""

    sign: str
    style: str
    text: str


def shown(line: Line) -> Text:
    """A line with the time before it."""
    from rich.text import Text

    time = datetime.now().strftime("%H:%M:%S")
    return Text.assemble((f"{time}  ", "dim"), (line.sign, line.style), " ", line.text)


_STEP = ("•", "cyan")
_DONE = ("✓", "green")
_AGAIN = ("↻", "magenta")
_STAR = ("★", "yellow")
_HEED = ("!", "yellow")
_BAD = ("✗", "red")


@singledispatch
def sentence(event: Event) -> Line | None:
    """What to say of an event; None for one that says nothing to people."""
    return None


@sentence.register
def _(event: events.JobSubmitted) -> Line:
    return Line(*_STEP, f"{_named(event.job_name, event.job_id)} submitted to project {event.project_name}")


@sentence.register
def _(event: events.JobAdopted) -> Line:
    status = output.plain_status(event.status)
    return Line(*_STEP, f"{_named(event.job_name, event.job_id)} was submitted before and is {status}")


@sentence.register
def _(event: events.TwinStopped) -> Line:
    return Line(
        *_HEED, f"{_named(event.job_name, event.job_id)} was submitted twice; {event.stays} stays, it was stopped"
    )


@sentence.register
def _(event: events.JobStatusChanged) -> Line:
    status = output.plain_status(event.status)
    sign = _DONE if status == "completed" else _BAD if status.endswith("failed") else _STEP
    said = f": {_first_line(event.message)}" if event.message else ""
    return Line(*sign, f"{_named(event.job_name, event.job_id)} is {status}{said}")


@sentence.register
def _(event: events.CheckpointSeen) -> Line:
    size = output.size(event.size_bytes)
    state = f"is complete, {size}" if event.complete else f"appeared, {size} so far"
    return Line(*(_DONE if event.complete else _STEP), f"{event.checkpoint} {state}")


@sentence.register
def _(event: events.AttemptStarted) -> Line:
    origin = f", from {event.started_from}" if event.started_from else ""
    return Line(*_STEP, f"attempt {event.number}: {event.job_name}{origin}")


@sentence.register
def _(event: events.AttemptEnded) -> Line:
    sign = {"completed": _DONE, "failed": _BAD, "preempted": _AGAIN, "stopped": _BAD}[event.cause]
    said = f": {_first_line(event.message)}" if event.message else ""
    return Line(*sign, f"attempt {event.number} {event.cause}{said}")


@sentence.register
def _(event: events.Resuming) -> Line:
    origin = event.checkpoint or "the start"
    return Line(*_AGAIN, f"attempt {event.attempt} goes on from {origin}: {event.reason}")


@sentence.register
def _(event: events.CheckpointChosen) -> Line:
    value = f" ({event.metric} {output.figure(event.value)})" if event.metric else ""
    return Line(*_STAR, f"{event.checkpoint} chosen{value}: {event.reason}")


@sentence.register
def _(event: events.DeploymentCreated) -> Line:
    return Line(*_STEP, f"deployment {event.deployment_id} of model {event.model_name} created")


@sentence.register
def _(event: events.DeploymentAdopted) -> Line:
    return Line(*_STEP, f"deployment {event.deployment_id} of model {event.model_name} was created before")


@sentence.register
def _(event: events.DeploymentStatusChanged) -> Line:
    status = output.plain_status(event.status)
    sign = _DONE if status == "active" else _BAD if status.endswith("failed") else _STEP
    return Line(*sign, f"deployment {event.deployment_id} is {status}")


@sentence.register
def _(event: events.ModelAnswered) -> Line:
    return Line(*_DONE, f"the model answers: {event.answer}")


@sentence.register
def _(event: events.ApiOutage) -> Line:
    lasting = f" (for {output.duration(event.seconds)})" if event.seconds >= 1 else ""
    return Line(*_HEED, f"no answer from the API{lasting}; waiting on. {event.error}")


@sentence.register
def _(event: events.Notice) -> Line:
    return Line(*_HEED, f"{event.about} {event.text}")


def _named(name: str | None, job_id: str) -> str:
    return f"job {name} ({job_id})" if name else f"job {job_id}"


def _first_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()), "")
