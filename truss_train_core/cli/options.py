"""Options that several commands share, each written once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from truss_train_core.cli.output import Format

DEFAULT_REMOTE = "baseten"


class TableFormat(str, Enum):
    """The values of `--output` where the result is a table."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


class Direction(str, Enum):
    """The values of `--order`."""

    ASCENDING = "asc"
    DESCENDING = "desc"


Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Python file with one TrainingProject.", show_default=False)
]
Remote = Annotated[
    str,
    typer.Option(
        "--remote",
        metavar="NAME",
        envvar="TRUSS_TRAIN_REMOTE",
        help="Where to talk: a section of ~/.trussrc, 'local', or an address.",
    ),
]
Output = Annotated[
    Format,
    typer.Option(
        "--output",
        "--output-format",
        "-o",
        metavar="text|json",
        help="For people, or JSON on stdout with messages on stderr.",
    ),
]
TableOutput = Annotated[
    TableFormat,
    typer.Option(
        "--output",
        "--output-format",
        "-o",
        metavar="text|json|csv",
        help="For people, or JSON or CSV on stdout with messages on stderr.",
    ),
]
Order = Annotated[Direction, typer.Option("--order", metavar="asc|desc", help="Smallest and oldest first, or last.")]
Project = Annotated[
    str | None, typer.Option("--project", "--project-id", metavar="NAME", help="Project, by name or id.")
]
JobId = Annotated[
    str | None, typer.Option("--job-id", metavar="JOB", help="Job, by id or name; the newest one if not given.")
]
Tail = Annotated[bool, typer.Option("--tail", help="Follow the log until the job ends; exit 1 unless it completes.")]
NonInteractive = Annotated[bool, typer.Option("--non-interactive", help="Ask nothing, even on a terminal.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
