"""Events as people and as programs read them. A listener is a function of one event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

from truss_train_core import events
from truss_train_core.api.flows import Event
from truss_train_core.cli import output
from truss_train_core.cli.logs import print_log

if TYPE_CHECKING:
    from rich.console import Console

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

    def tell(event: Event) -> None:
        if isinstance(event, events.LogLines):
            print_log(log or output.stdout(), event.lines, replicas=replicas)
        elif line := line_about(event):
            output.message(line)

    return tell


def upload_bar(total: int) -> AbstractContextManager[Callable[[int], None] | None]:
    """A bar on stderr while an archive of `total` bytes is uploaded; what it yields is told each number of bytes.

    Where stderr is no terminal there is none, and None is yielded: events tell.
    """
    return _bar("uploading", total) if output.on_terminal() else nullcontext()


def download_bar() -> AbstractContextManager[Callable[[int], None]]:
    """The same for a download, of which nobody knows how much it will be."""
    return _bar("downloading", None) if output.on_terminal() else nullcontext(lambda count: None)


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    with Progress(*columns, console=output.stderr(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def line_about(event: Event) -> output.Line | None:
    """What to say of an event, with the time and a sign before it; None for one that says nothing to people."""
    said = events.sentence(event)
    if said is None:
        return None
    time = datetime.now().strftime("%H:%M:%S")
    return (f"{time}  ", "dim"), _sign(event), (" ", ""), (said, "bold")


_STEP = ("•", "cyan")
_DONE = ("✓", "green")
_AGAIN = ("↻", "magenta")
_STAR = ("★", "yellow")
_HEED = ("!", "yellow")
_BAD = ("✗", "red")


def _sign(event: Event) -> tuple[str, str]:
    match event:
        case events.AttemptEnded(cause=status):
            return _sign_of(status)
        case events.JobStatusChanged(status=status) | events.DeploymentStatusChanged(status=status):
            return _sign_of(events.plain_status(status))
        case events.CheckpointSeen() | events.DeploymentPromoted() | events.ModelAnswered():
            return _DONE
        case events.Resuming():
            return _AGAIN
        case events.CheckpointChosen():
            return _STAR
        case events.TwinStopped() | events.ApiOutage() | events.Notice():
            return _HEED
    return _STEP


def _sign_of(status: str) -> tuple[str, str]:
    if status in ("completed", "active"):
        return _DONE
    if status == "preempted":
        return _AGAIN
    return _BAD if status.endswith("failed") or status in ("stopped", "unhealthy") else _STEP
