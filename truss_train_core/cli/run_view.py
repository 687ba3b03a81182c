"""The live picture of a run on a terminal: what happens scrolls by, and how the run stands is below it.

    09:41:02  • deployment d3pl0y of model digits created
    09:41:03  epoch 11/30  loss 0.0411  eval_loss 0.0832

    ⠹ digits  training                                                          2:31
      ATTEMPT  JOB                STATUS     TOOK  FROM
            1  digits-mlp-3f2a-1  preempted  0:41  the start
            2  digits-mlp-3f2a-2  running    0:12  checkpoint-420
    ★ checkpoint-378   812 KiB   0.0799
      checkpoint-420   812 KiB   0.0801

`Board` is how the run stands; only events and measurements change it. `RunView` puts it on the screen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from truss_train_core import checkpoints, events
from truss_train_core.api.flows import Event
from truss_train_core.cli import output
from truss_train_core.cli.checkpoints import metric_columns
from truss_train_core.cli.gauge import Gauge
from truss_train_core.cli.logs import print_log
from truss_train_core.cli.progress import line_about
from truss_train_core.errors import NoUsableCheckpoint

if TYPE_CHECKING:
    from truss_train_core.api.client import Client
    from truss_train_core.runs import Best

_MOST_ROWS = 8
"""Checkpoints shown at once: the newest, and the best."""
_MOST_ATTEMPTS = 5
_BAR_WIDTH = 40
_OTHER_COLUMNS = 50  # columns of the terminal that a checkpoint's name, size and state take
_NARROW = 64
_IN_THE_PICTURE = (events.CheckpointSeen, events.JobStatusChanged, events.AttemptStarted)
"""Events that the picture shows by itself, so that they need no line."""


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

    name: str
    size_bytes: int | None = None
    complete: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    rejected: str | None = None


@dataclass
class Board:
    """How a run stands.

    Attributes:
        best_by: how checkpoints are judged, or None.
        clock: tells seconds; only differences count.
        best: the checkpoint that is chosen, or would be by what is known now.
        step, max_steps: how far the training is, as its newest checkpoint tells.
    """

    best_by: Best | None = None
    clock: Callable[[], float] = time.monotonic
    activity: str = "starting"
    attempts: list[Attempt] = field(default_factory=list)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    best: tuple[str, str] | None = None
    candidates: dict[tuple[str, str], checkpoints.Candidate] = field(default_factory=dict)
    step: int = 0
    max_steps: int | None = None
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def hear(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case events.AttemptStarted(number=number, job_name=name, started_from=origin):
                self.activity = "uploading and submitting"
                self.attempts.append(Attempt(number, name, origin, self.clock()))
            case events.JobStatusChanged(job_name=name, status=status, message=message):
                said = events.plain_status(status)
                self._attempt_of(name).status = said
                self.activity = (
                    "training" if said == "running" else " ".join(f"{said}: {message or ''}".split()).rstrip(":")
                )
            case events.CheckpointSeen(job_id=job_id, checkpoint=name, size_bytes=count, complete=complete):
                row = self._row(job_id, name)
                row.size_bytes, row.complete = count, complete
            case events.AttemptEnded(cause=cause) if self.attempts:
                self.attempts[-1].status, self.attempts[-1].ended = cause, self.clock()
                self.activity = "looking at the checkpoints"
            case events.CheckpointChosen(job_id=job_id, checkpoint=name):
                self.best = (job_id, name)
                for each in event.table:
                    self._row(each.job_id, each.checkpoint).rejected = each.rejected
            case events.DeploymentCreated():
                self.activity = "deploying"
            case events.DeploymentStatusChanged(status=status):
                self.activity = f"deployment {events.plain_status(status)}"

    def measured(self, found: Iterable[checkpoints.Candidate], state: checkpoints.TrainerState | None) -> None:
        """Take in what is known of checkpoints."""
        if state:
            self.step, self.max_steps = state.global_step, state.max_steps
        for each in found:
            key = (each.checkpoint.training_job_id, each.checkpoint.checkpoint_id)
            self.candidates[key] = each
            row = self._row(*key)
            row.metrics, row.size_bytes = each.metrics, each.checkpoint.size_bytes
        if self.best_by:
            try:
                best = checkpoints.choose_best(list(self.candidates.values()), self.best_by.metric, self.best_by.mode)
            except NoUsableCheckpoint:
                return
            self.best = (best.checkpoint.training_job_id, best.checkpoint.checkpoint_id)

    def _row(self, job_id: str, name: str) -> Row:
        return self.rows.setdefault((job_id, name), Row(name))

    def _attempt_of(self, job_name: str | None) -> Attempt:
        for attempt in self.attempts:
            if attempt.job_name == job_name:
                return attempt
        # The run was taken up again while this job was running.
        self.attempts.append(Attempt(len(self.attempts) + 1, job_name or "", None, self.clock()))
        return self.attempts[-1]


def attempts_table(board: Board) -> Table:
    """The newest attempts: job, how it ended or stands, how long it took, where it began."""
    table = output.table("ATTEMPT", "JOB", "STATUS", "TOOK", "FROM", right=("ATTEMPT", "TOOK"), gives_way=("JOB",))
    for each in board.attempts[-_MOST_ATTEMPTS:]:
        took = output.duration((each.ended or board.clock()) - each.began)
        status = output.status_text(each.status)
        table.add_row(str(each.number), output.may_be_cut(each.job_name), status, took, each.origin or "the start")
    return table


def checkpoints_table(board: Board, limit: int, width: int) -> Table:
    """The newest checkpoints and the best one, which is marked, with as many metrics as `width` columns hold."""
    rows = list(board.rows.items())
    if len(rows) > limit:
        rows = [(key, row) for key, row in rows[:-limit] if key == board.best] + rows[-limit:]
    names = (name for row in board.rows.values() for name in row.metrics)
    metrics = metric_columns(names, board.best_by.metric if board.best_by else None, width - _OTHER_COLUMNS)
    sizes = ["SIZE"] if width >= _NARROW else []
    table = output.table("", "CHECKPOINT", *sizes, *metrics, "", right=("SIZE", *metrics))
    for key, row in rows:
        is_best = key == board.best
        table.add_row(
            Text("★" if is_best else "", style="yellow"),
            row.name,
            *([output.size(row.size_bytes) if row.size_bytes else ""] if sizes else []),
            *(output.figure(row.metrics.get(name)) for name in metrics),
            row.rejected or ("" if row.complete else "being copied"),
            style="bold" if is_best else "dim" if row.rejected or not row.complete else None,
        )
    return table


class RunView:
    """Shows a run on a terminal while it goes on; a listener of its events.

    Args:
        console: the terminal.
        client: what metrics are read through.
        title: what is run.
        best_by: how checkpoints are judged, or None.
        replicas: whether to say which replica a log line came from.
    """

    def __init__(
        self, console: Console, client: Client, title: str, best_by: Best | None, *, replicas: bool = False
    ) -> None:
        self._console, self._title, self._replicas = console, title, replicas
        self._board, self._board_lock = Board(best_by), threading.Lock()
        self._gauge = Gauge(client, self._measured)
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __call__(self, event: Event) -> None:
        with self._board_lock:
            self._board.hear(event)
        if isinstance(event, events.CheckpointSeen) and event.complete:
            self._gauge.look(event.job_id)
        if isinstance(event, events.LogLines):
            print_log(self._console, event.lines, replicas=self._replicas)
        elif not isinstance(event, _IN_THE_PICTURE) and (line := line_about(event)):
            self._console.print(output.styled(line), soft_wrap=True)

    def __enter__(self) -> RunView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if error is None and self._board.rows:
            self._console.print("", checkpoints_table(self._board, _MOST_ROWS, self._console.width), "", sep="\n")

    def _measured(self, found: Iterable[checkpoints.Candidate], state: checkpoints.TrainerState | None) -> None:
        with self._board_lock:
            self._board.measured(found, state)

    def _picture(self) -> RenderableType:
        with self._board_lock:
            board = self._board
            parts: list[RenderableType] = ["", self._head(board)]
            if board.attempts:
                parts += ["", Padding(attempts_table(board), (0, 0, 0, 2))]
            if board.rows:
                room = max(1, min(_MOST_ROWS, self._console.height - min(len(board.attempts), _MOST_ATTEMPTS) - 12))
                parts += ["", Padding(checkpoints_table(board, room, self._console.width - 2), (0, 0, 0, 2))]
        return Group(*parts)

    def _head(self, board: Board) -> Table:
        head = Table.grid(expand=True, padding=(0, 1, 0, 0))
        head.add_column()
        head.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        head.add_column(justify="right", style="dim")
        said = Text.assemble((self._title, "bold"), "  ", board.activity)
        head.add_row(self._spinner, said, output.duration(board.clock() - board.began))
        if board.max_steps:
            bar = ProgressBar(total=board.max_steps, completed=board.step, width=_BAR_WIDTH)
            head.add_row("", Columns([bar, Text(f"step {board.step:,} of {board.max_steps:,}", style="dim")]), "")
        return head
