"""`truss-train checkpoints`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import connect
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.output import Format

if TYPE_CHECKING:
    from rich.table import Table

    from truss_train_core.checkpoints import Candidate, Choice

_OTHER_COLUMNS = 50  # columns of the terminal that a checkpoint's name, type, size and age take
_FIGURE = 7  # characters of a figure
_HOUSEKEEPING = ("runtime", "per_second", "learning_rate", "grad_norm", "flos")


class Direction(str, Enum):
    """The values of `--mode`."""

    MIN = "min"
    MAX = "max"


Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Metric by which checkpoints are judged, e.g. eval_loss.")
]
Mode = Annotated[
    Direction | None,
    typer.Option("--mode", metavar="min|max", help="Whether a smaller or a larger value of --metric is better."),
]


def list_checkpoints(
    job_id: options.JobId = None,
    project: options.Project = None,
    metric: Metric = None,
    mode: Mode = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """List a job's checkpoints with what was measured at them; with --metric and --mode, mark the best."""
    from truss_train_core import checkpoints, jobs

    check_metric(metric, mode)
    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        found = client.run(checkpoints.candidates([job], requirement=checkpoints.deployable))
    best = checkpoints.choose_best(found, metric, mode.value) if metric and mode and found else None
    if form is Format.JSON:
        rows = [
            {**each.checkpoint.model_dump(), "step": each.step, **each.model_dump(exclude={"checkpoint"})}
            for each in found
        ]
        output.print_json({"checkpoints": rows, "best": best})
    elif found:
        output.stdout().print(_table(found, best))
        if best:
            output.message(f"{best.checkpoint.checkpoint_id}: {best.reason}.")
    else:
        output.message(f"{jobs.describe(job)} has no checkpoints.")


def check_metric(metric: str | None, mode: Direction | None) -> None:
    """Refuse a metric without a direction, and a direction without a metric."""
    if metric and not mode:
        raise BadOptions(
            f"--metric {metric} needs --mode: is a smaller or a larger {metric} better?",
            hint="--mode min for losses and error rates, --mode max for accuracies and scores.",
        )
    if mode and not metric:
        raise BadOptions(f"--mode {mode.value} needs --metric: the {mode.value}imum of what?")


def metric_columns(names: Iterable[str], first: str | None, width: int) -> list[str]:
    """Which metrics get a column: the one that decides, then evaluations, then others, as far as `width` goes.

    Housekeeping, such as how long an evaluation took, gets none. JSON has everything.
    """

    def order(name: str) -> tuple[bool, bool, str]:
        return name != first, not name.startswith("eval_"), name

    fitting: list[str] = []
    for name in sorted({name for name in names if name == first or not name.endswith(_HOUSEKEEPING)}, key=order):
        width -= max(len(name), _FIGURE) + 2
        if fitting and width < 0:
            break
        fitting.append(name)
    return fitting


def _table(found: Sequence[Candidate], best: Choice | None) -> Table:
    names = (name for each in found for name in each.metrics)
    metrics = metric_columns(names, best.metric if best else None, output.stdout().width - _OTHER_COLUMNS)
    table = output.table("", "CHECKPOINT", "TYPE", "SIZE", "CREATED", *metrics, right=("SIZE", *metrics))
    if any(each.rejected for each in found):
        table.add_column("NOT DEPLOYABLE")
    for each in found:
        checkpoint = each.checkpoint
        is_best = best is not None and checkpoint == best.checkpoint
        table.add_row(
            "★" if is_best else "",
            checkpoint.checkpoint_id,
            checkpoint.checkpoint_type,
            output.size(checkpoint.size_bytes),
            output.ago(checkpoint.created_at),
            *(output.figure(each.metrics.get(name)) for name in metrics),
            *filter(None, [each.rejected]),
            style="bold green" if is_best else "dim" if each.rejected else None,
        )
    return table
