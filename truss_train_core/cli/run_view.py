"""The live picture of a run on a terminal: what happens scrolls by, and how the run stands is below it.

    09:41:02  ✓ checkpoint-420 is complete, 812 kB
    09:41:03  epoch 11/30  loss 0.0411  eval_loss 0.0832

    ⠹ training                                                                  2:31
      attempt 1   digits-mlp-3f2a-1   preempted   0:41
      attempt 2   digits-mlp-3f2a-2   running     0:12   from checkpoint-420

        checkpoint-378   812 kB   0.0801
      ★ checkpoint-420   812 kB   0.0799

`Board` is how the run stands; only events change it. `RunView` puts it on the screen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from truss_train_core import events
from truss_train_core.api.flows import Event
from truss_train_core.cli import output
from truss_train_core.cli.checkpoints import metric_columns
from truss_train_core.cli.logs import print_log
from truss_train_core.cli.progress import sentence, shown

_ROWS = 8
"""Checkpoints shown while the run goes on: the newest, and the best."""


@dataclass
class Attempt:
    """An attempt; times are seconds of the board's clock."""

    number: int
    job_name: str
    origin: str | None
    began: float
    status: str = "submitting"
    ended: float | None = None


@dataclass
class Row:
    """A checkpoint and what is known of it."""

    attempt: int
    name: str
    size_bytes: int | None = None
    complete: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    rejected: str | None = None
    chosen: bool = False


@dataclass
class Board:
    """How a run stands. `clock` tells seconds; only differences count."""

    clock: Callable[[], float] = time.monotonic
    activity: str = "starting"
    attempts: list[Attempt] = field(default_factory=list)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    metric: str | None = None
    model: str | None = None
    deployment: str | None = None
    answer: str | None = None
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def hear(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case events.AttemptStarted(number=number, job_name=name, started_from=origin):
                self.activity = "submitting"
                self.attempts.append(Attempt(number, name, origin, self.clock()))
            case events.JobStatusChanged(status=status) if self.attempts:
                self.attempts[-1].status = output.plain_status(status)
                self.activity = "training" if status.endswith("_RUNNING") else output.plain_status(status)
            case events.CheckpointSeen(job_id=job_id, checkpoint=name, size_bytes=count, complete=complete):
                row = self.rows.setdefault((job_id, name), Row(len(self.attempts), name))
                row.size_bytes, row.complete = count, complete
            case events.AttemptEnded(cause=cause) if self.attempts:
                self.attempts[-1].status, self.attempts[-1].ended = cause, self.clock()
                self.activity = "looking at the checkpoints"
            case events.CheckpointChosen():
                self._choose(event)
            case events.DeploymentCreated(model_name=model):
                self.model, self.deployment, self.activity = model, "created", "deploying"
            case events.DeploymentStatusChanged(status=status):
                self.deployment = output.plain_status(status)
            case events.ModelAnswered(answer=answer):
                self.answer = answer

    def _choose(self, event: events.CheckpointChosen) -> None:
        self.metric = event.metric
        for each in event.table:
            row = self.rows.setdefault((each.job_id, each.checkpoint), Row(len(self.attempts), each.checkpoint))
            row.rejected = each.rejected
            row.chosen = (each.job_id, each.checkpoint) == (event.job_id, event.checkpoint)
            if event.metric and each.value is not None:
                row.metrics = {**row.metrics, event.metric: each.value}


def attempts_table(board: Board) -> Table:
    """Every attempt: its job, how it ended or stands, how long it took, where it began."""
    table = output.table("ATTEMPT", "JOB", "STATUS", "TOOK", "FROM", right=("ATTEMPT", "TOOK"))
    for each in board.attempts:
        took = output.duration((each.ended or board.clock()) - each.began)
        table.add_row(
            str(each.number), each.job_name, output.status_text(each.status), took, each.origin or "the start"
        )
    return table


def checkpoints_table(board: Board, limit: int | None = None) -> Table:
    """The checkpoints with their metrics, the chosen one marked; with a `limit`, only the newest and the chosen one."""
    rows = list(board.rows.values())
    if limit and len(rows) > limit:
        newest = rows[-limit:]
        rows = [row for row in rows[:-limit] if row.chosen] + newest
    metrics = metric_columns((name for row in board.rows.values() for name in row.metrics), board.metric)
    table = output.table("", "CHECKPOINT", "ATTEMPT", "SIZE", *metrics, "", right=("ATTEMPT", "SIZE", *metrics))
    for row in rows:
        table.add_row(
            Text("★" if row.chosen else "", style="yellow"),
            row.name,
            str(row.attempt),
            "" if row.size_bytes is None else output.size(row.size_bytes),
            *(output.figure(row.metrics.get(name)) for name in metrics),
            row.rejected or ("" if row.complete else "being copied"),
            style="bold" if row.chosen else "dim" if row.rejected or not row.complete else None,
        )
    return table


class RunView:
    """Shows a run on a terminal while it goes on; a listener of its events.

    Args:
        console: the terminal.
        title: what is run.
        replicas: whether to say which replica a log line came from.
    """

    def __init__(self, console: Console, title: str, *, replicas: bool = False) -> None:
        self.board = Board()
        self._console, self._title, self._replicas = console, title, replicas
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=8, transient=True, redirect_stdout=False,
            redirect_stderr=False,
        )  # fmt: skip

    def __call__(self, event: Event) -> None:
        self.board.hear(event)
        if isinstance(event, events.LogLines):
            print_log(self._console, event.lines, replicas=self._replicas)
        elif line := sentence(event):
            self._console.print(shown(line), soft_wrap=True)

    def __enter__(self) -> RunView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _picture(self) -> RenderableType:
        board = self.board
        head = Table.grid(expand=True, padding=(0, 1, 0, 0))
        head.add_column()
        head.add_column(ratio=1)
        head.add_column(justify="right")
        self._spinner.update(text="")
        head.add_row(
            self._spinner,
            Text.assemble((self._title, "bold"), "  ", board.activity),
            Text(output.duration(board.clock() - board.began), style="dim"),
        )
        parts: list[RenderableType] = ["", head]
        if board.attempts:
            parts += ["", Padding(attempts_table(board), (0, 0, 0, 2))]
        if board.rows:
            room = max(1, min(_ROWS, self._console.height - len(board.attempts) - 10))
            parts += ["", Padding(checkpoints_table(board, room), (0, 0, 0, 2))]
        return Group(*parts)
