"""Options that several commands share, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

from truss_train_core.cli.output import Format

DEFAULT_REMOTE = "baseten"

Remote = Annotated[
    str,
    typer.Option(
        "--remote",
        envvar="TRUSS_TRAIN_REMOTE",
        help="Where to talk: a section of ~/.trussrc, 'local', or the address of an API.",
    ),
]
Output = Annotated[
    Format, typer.Option("--output", "-o", help="Text for people, or JSON on stdout with all messages on stderr.")
]
Project = Annotated[str | None, typer.Option("--project", help="Project, by name or id.")]
JobId = Annotated[str | None, typer.Option("--job-id", help="Job, by id or name; by default the newest one.")]
Team = Annotated[str | None, typer.Option("--team", help="Team whose project it is, by name or id.")]
Tail = Annotated[bool, typer.Option("--tail", help="Follow the log until the job ends; exit 1 unless it completes.")]
