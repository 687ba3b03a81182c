"""How a run is shown: the board from events alone, the picture on terminals of all sizes."""

import io
from datetime import datetime, timezone
from typing import Any

import pytest
from rich.console import Console

from truss_train_core import events
from truss_train_core.api.client import Client
from truss_train_core.api.flows import Event
from truss_train_core.api.models import Checkpoint, LogLine
from truss_train_core.checkpoints import Candidate, TrainerState
from truss_train_core.cli.checkpoints import metric_columns
from truss_train_core.cli.progress import line_about
from truss_train_core.cli.run_view import Board, RunView, attempts_table, checkpoints_table
from truss_train_core.remotes import Remote
from truss_train_core.runs import Best
from truss_train_core.testing import ManualClock

AT = datetime(2026, 1, 2, tzinfo=timezone.utc)


def seen(name: str, *, complete: bool = True, job_id: str = "j1") -> Event:
    return events.CheckpointSeen(
        job_id=job_id, checkpoint=name, step=1, size_bytes=2048, created_at=AT, complete=complete
    )


def status(value: str, job_name: str = "digits-k-1", message: str | None = None) -> Event:
    return events.JobStatusChanged(job_id="j1", job_name=job_name, status=f"TRAINING_JOB_{value}", message=message)


def started(number: int, origin: str | None = None) -> Event:
    return events.AttemptStarted(number=number, job_name=f"digits-k-{number}", started_from=origin)


def ended(number: int, cause: Any) -> Event:
    return events.AttemptEnded(number=number, job_id=f"j{number}", cause=cause, message="the machine is gone")


def candidate(name: str, loss: float | None) -> Candidate:
    checkpoint = Checkpoint(training_job_id="j1", checkpoint_id=name, created_at=AT, size_bytes=2048)
    return Candidate(checkpoint=checkpoint, metrics={} if loss is None else {"eval_loss": loss})


def drawn(what: Any, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def board() -> Board:
    clock = ManualClock()
    board = Board(Best(metric="eval_loss", mode="min"), clock=clock.now)
    for event in (
        started(1),
        status("RUNNING"),
        seen("checkpoint-1"),
        seen("checkpoint-2"),
        seen("checkpoint-3", complete=False),
    ):
        board.hear(event)
    clock.advance(65)
    return board


def test_attempts_show_how_they_ended_how_long_they_took_and_where_they_began(board: Board) -> None:
    assert board.activity == "training"
    board.hear(ended(1, "preempted"))
    board.hear(started(2, "checkpoint-2"))
    first, second = drawn(attempts_table(board)).splitlines()[1:]
    assert first.split() == ["1", "digits-k-1", "preempted", "1:05", "the", "start"]
    assert second.split() == ["2", "digits-k-2", "submitting", "0:00", "checkpoint-2"]


def test_why_a_job_waits_is_said(board: Board) -> None:
    board.hear(status("PENDING", message="Waiting for 8 H100: 8 of 8 in use.\nmore"))
    assert board.activity == "pending: Waiting for 8 H100: 8 of 8 in use. more"


def test_the_best_so_far_is_marked_and_changes(board: Board) -> None:
    board.measured([candidate("checkpoint-1", 0.5), candidate("checkpoint-2", 0.7)], None)
    assert "★  checkpoint-1" in drawn(checkpoints_table(board, 8, 100))
    board.measured([candidate("checkpoint-3", 0.1)], TrainerState(global_step=30, max_steps=100))
    assert "★  checkpoint-3" in drawn(checkpoints_table(board, 8, 100))
    assert (board.step, board.max_steps) == (30, 100)


def test_what_was_chosen_counts_more_than_what_seemed_best(board: Board) -> None:
    board.measured([candidate("checkpoint-1", 0.5), candidate("checkpoint-2", 0.7)], None)
    table = (events.ChoiceRow(job_id="j1", checkpoint="checkpoint-1", rejected="it has no files"),)
    board.hear(
        events.CheckpointChosen(
            job_id="j1", checkpoint="checkpoint-2", metric="eval_loss", mode="min", value=0.7, reason="", table=table
        )
    )
    picture = drawn(checkpoints_table(board, 8, 100))
    assert "★  checkpoint-2" in picture
    assert "it has no files" in picture


def test_of_many_checkpoints_the_newest_and_the_best_are_shown(board: Board) -> None:
    for number in range(4, 40):
        board.hear(seen(f"checkpoint-{number}"))
    board.measured([candidate("checkpoint-2", 0.1)], None)
    lines = drawn(checkpoints_table(board, 3, 100)).splitlines()[1:]
    assert [next(word for word in line.split() if word.startswith("checkpoint")) for line in lines] == [
        "checkpoint-2", "checkpoint-37", "checkpoint-38", "checkpoint-39",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "shown"),
    [(100, ["eval_loss", "bleu", "loss"]), (72, ["eval_loss", "bleu"]), (40, ["eval_loss"])],
)
def test_a_narrow_terminal_shows_fewer_metrics_and_the_deciding_one_always(width: int, shown: list[str]) -> None:
    names = ["loss", "eval_loss", "bleu", "eval_runtime"]
    assert metric_columns(names, "eval_loss", width - 50) == shown


def test_a_job_that_ran_before_the_run_was_taken_up_again_has_a_row() -> None:
    board = Board()
    board.hear(status("RUNNING", job_name="digits-k-3"))
    board.hear(ended(3, "completed"))
    assert "digits-k-3" in drawn(attempts_table(board))


@pytest.mark.parametrize(("width", "height"), [(100, 40), (40, 12), (20, 5)])
def test_the_picture_fits_every_terminal(width: int, height: int) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=height, highlight=False, markup=False)
    client = Client(Remote(name="x", api_url="http://localhost:9", web_url="http://localhost:9", key="k"))  # type: ignore[arg-type]
    line = LogLine(timestamp="1", message="epoch 1\n")
    happens = [
        started(1), status("PENDING", message="Waiting for a very long time. " * 9), status("RUNNING"),
        events.LogLines(job_id="j1", lines=(line,), cursor=events.LogCursor(start_millis=0)),
        seen("checkpoint-1", complete=False), ended(1, "failed"), started(2, "checkpoint-1"), ended(2, "completed"),
    ]  # fmt: skip
    with RunView(console, client, "digits", None) as view:
        for event in happens:
            view(event)
    shown = file.getvalue()
    assert "epoch 1" in shown
    assert "\x1b[?25h" in shown  # the cursor is back


def test_a_line_has_a_sign_of_its_kind() -> None:
    kinds = {
        "•": started(1),
        "✓": ended(1, "completed"),
        "✗": status("FAILED", message="exit code 1"),
        "↻": ended(1, "preempted"),
        "!": events.Notice(about="job j1", text="has ended already"),
    }
    for sign, event in kinds.items():
        line = line_about(event)
        assert line is not None
        assert line[1][0] == sign


def test_log_lines_are_not_told_of() -> None:
    assert line_about(events.LogLines(job_id="j", lines=(), cursor=events.LogCursor(start_millis=0))) is None
