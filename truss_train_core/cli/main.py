"""The `truss-train` command: the list of its commands, and the boundary at which an error becomes an exit code.

Commands import what they work with when they run, so that `--help` and completion come at once.
"""

from __future__ import annotations

import io
import signal
import sys
import warnings
from typing import Annotated, TextIO

import typer

from truss_train_core.cli import (
    capacity,
    change,
    checkpoints,
    deploy,
    failures,
    files,
    init,
    jobs,
    local,
    output,
    push,
    resume,
    run,
    sessions,
    watch,
)

app = typer.Typer(
    name="truss-train",
    help="Train on Baseten or on this machine: submit, follow, resume, choose and deploy.",
    epilog=failures.EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_TRAIN, _LOOK, _INSIDE, _HERE = "Train and deploy", "Look and stop", "Work inside of a job", "This machine"
app.command(rich_help_panel=_TRAIN)(init.init)
app.command(rich_help_panel=_TRAIN)(push.push)
app.command(rich_help_panel=_TRAIN, epilog=run.EXAMPLE)(run.run)
app.command(rich_help_panel=_TRAIN)(resume.resume)
app.command(rich_help_panel=_TRAIN)(change.recreate)
app.command(rich_help_panel=_TRAIN)(change.update)
app.command(rich_help_panel=_TRAIN)(deploy.deploy_checkpoints)
app.command("deploy_checkpoints", hidden=True)(deploy.deploy_checkpoints)  # as truss writes it
app.command(rich_help_panel=_LOOK)(watch.view)
app.command("jobs", rich_help_panel=_LOOK)(jobs.list_jobs)
app.command(rich_help_panel=_LOOK)(watch.watch)
app.command(rich_help_panel=_LOOK)(watch.wait)
app.command(rich_help_panel=_LOOK)(jobs.logs)
app.command(rich_help_panel=_LOOK)(jobs.metrics)
app.command("checkpoints", rich_help_panel=_LOOK)(checkpoints.list_checkpoints)
app.command(rich_help_panel=_LOOK)(resume.best)
app.command(rich_help_panel=_LOOK)(files.download)
app.command(rich_help_panel=_LOOK)(files.get_checkpoint_urls)
app.command("get_checkpoint_urls", hidden=True)(files.get_checkpoint_urls)  # as truss writes it
app.add_typer(files.cache, name="cache", rich_help_panel=_LOOK)
app.command(rich_help_panel=_LOOK)(jobs.stop)
app.command(rich_help_panel=_LOOK)(change.delete)
app.command(rich_help_panel=_INSIDE)(sessions.workstation)
app.command(rich_help_panel=_INSIDE)(sessions.isession)
app.command(rich_help_panel=_INSIDE)(sessions.sign_ssh_key)
app.command(rich_help_panel=_INSIDE)(sessions.update_session)
app.command("update_session", hidden=True)(sessions.update_session)  # as truss writes it
app.add_typer(capacity.app, name="capacity", rich_help_panel=_LOOK)
app.command(rich_help_panel=_HERE)(local.serve)
app.add_typer(local.app, name="local", rich_help_panel=_HERE)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"truss-train {version('truss-train-core')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """The console script: run a command and leave with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the terminal is put in order
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run a command; errors become a line on stderr. Returns the exit code."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character is no reason to fail
    try:
        return app(arguments, prog_name="truss-train", standalone_mode=False) or 0
    except typer.Abort:
        return failures.INTERRUPTED
    except Exception as error:
        return failures.report(error)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of a definition, as a line for a person."""
    output.warn(str(message))
