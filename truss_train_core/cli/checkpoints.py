"""`truss-train checkpoints`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import connect
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.options import TableFormat

if TYPE_CHECKING:
    from rich.table import Table

    from truss_train_core.checkpoints import Candidate, Choice, Survey

_OTHER_COLUMNS = 50  # columns of the terminal that a checkpoint's name, type, size and age take
_FIGURE = 7  # characters of a figure
_HOUSEKEEPING = ("runtime", "per_second", "learning_rate", "grad_norm", "flos")


class Direction(str, Enum):
    """The values of `--mode`."""

    MIN = "min"
    MAX = "max"


class Verb(str, Enum):
    """What truss says after `checkpoints`, and may be said here."""

    LIST = "list"


class Sort(str, Enum):
    """The values of `--sort`."""

    CHECKPOINT_ID = "checkpoint-id"
    SIZE = "size"
    CREATED = "created"
    TYPE = "type"


_SORT_KEYS: dict[Sort, Callable[[Candidate], Any]] = {
    Sort.CHECKPOINT_ID: lambda each: each.checkpoint.checkpoint_id,
    Sort.SIZE: lambda each: each.checkpoint.size_bytes,
    Sort.CREATED: lambda each: each.checkpoint.created_at,
    Sort.TYPE: lambda each: each.checkpoint.checkpoint_type or "",
}
_CSV_COLUMNS = ("checkpoint_id", "step", "checkpoint_type", "base_model", "size_bytes", "created_at", "rejected")
_FILE_COLUMNS = ("relative_file_name", "node_rank", "size_bytes", "last_modified")

Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Metric by which checkpoints are judged, e.g. eval_loss.")
]
Mode = Annotated[
    Direction | None,
    typer.Option("--mode", metavar="min|max", help="Whether a smaller or a larger value of --metric is better."),
]


def list_checkpoints(
    _: Annotated[Verb | None, typer.Argument(metavar="[list]", hidden=True)] = None,
    job_id: options.JobId = None,
    project: options.Project = None,
    metric: Metric = None,
    mode: Mode = None,
    name: Annotated[
        str | None, typer.Option("--checkpoint-name", metavar="NAME", help="List the files of this checkpoint instead.")
    ] = None,
    sort: Annotated[Sort, typer.Option("--sort", help="By what.")] = Sort.CREATED,
    order: options.Order = options.Direction.ASCENDING,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.TableOutput = TableFormat.TEXT,
) -> None:
    """List a job's checkpoints with what was measured at them; with --metric and --mode, mark the best."""
    from truss_train_core import checkpoints, jobs

    check_metric(metric, mode)
    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        if name is not None:
            _print_files(client.run(checkpoints.survey(job)), name, form)
            return
        found = client.run(checkpoints.candidates([job], requirement=checkpoints.deployable))
    best = checkpoints.choose_best(found, metric, mode.value) if metric and mode and found else None
    found.sort(key=_SORT_KEYS[sort], reverse=order is options.Direction.DESCENDING)
    rows = [
        {**each.checkpoint.model_dump(), "step": each.step, **each.model_dump(exclude={"checkpoint"})} for each in found
    ]
    if form is TableFormat.JSON:
        output.print_json({"checkpoints": rows, "best": best})
    elif form is TableFormat.CSV:
        metrics = sorted({metric for each in found for metric in each.metrics})
        output.print_csv((*_CSV_COLUMNS, *metrics), ({**row, **row["metrics"]} for row in rows))
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


def _print_files(surveyed: Survey, name: str, form: TableFormat) -> None:
    """The files of one checkpoint; in JSON with their presigned addresses."""
    from truss_train_core import jobs

    if name not in surveyed.files:
        have = ", ".join(surveyed.files) or "none"
        raise BadOptions(f"{jobs.describe(surveyed.job)} has no checkpoint {name!r} with files; it has {have}.")
    files = surveyed.files[name]
    if form is TableFormat.JSON:
        output.print_json({"checkpoint": name, "files": files})
    elif form is TableFormat.CSV:
        output.print_csv(_FILE_COLUMNS, (file.model_dump() for file in files))
    else:
        table = output.table("FILE", "RANK", "SIZE", "MODIFIED", right=("RANK", "SIZE"))
        for file in files:
            size = output.size(file.size_bytes)
            table.add_row(file.relative_file_name, str(file.node_rank), size, file.last_modified)
        output.stdout().print(table)


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
