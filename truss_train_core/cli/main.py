"""The `truss-train` command: the list of its commands, and the boundary at which an error becomes an exit code.

Commands import what they work with when they run, so that `--help` and completion come at once.
"""

from __future__ import annotations

import gc
import io
import signal
import sys
import warnings
from importlib import import_module
from typing import Annotated, NamedTuple, TextIO

import typer

from truss_train_core.cli import failures, output

_TRAIN, _LOOK, _INSIDE, _HERE = "Train and deploy", "Look and stop", "Work inside of a job", "This machine"
_RUN_EXAMPLE = "For example: truss-train run config.py --metric eval_loss --mode min --ask question.json"


class _Command(NamedTuple):
    """A command, or a group of them, and where it is written: `module:name` in this package."""

    name: str
    where: str
    panel: str
    epilog: str | None = None
    hidden: bool = False


_COMMANDS = (
    _Command("init", "init:init", _TRAIN),
    _Command("push", "push:push", _TRAIN),
    _Command("run", "run:run", _TRAIN, epilog=_RUN_EXAMPLE),
    _Command("sweep", "sweep:sweep", _TRAIN),
    _Command("resume", "resume:resume", _TRAIN),
    _Command("recreate", "change:recreate", _TRAIN),
    _Command("update", "change:update", _TRAIN),
    _Command("deploy-checkpoints", "deploy:deploy_checkpoints", _TRAIN),
    _Command("deploy_checkpoints", "deploy:deploy_checkpoints", _TRAIN, hidden=True),  # as truss writes it
    _Command("view", "watch:view", _LOOK),
    _Command("jobs", "jobs:list_jobs", _LOOK),
    _Command("watch", "watch:watch", _LOOK),
    _Command("wait", "watch:wait", _LOOK),
    _Command("logs", "jobs:logs", _LOOK),
    _Command("metrics", "jobs:metrics", _LOOK),
    _Command("checkpoints", "checkpoints:list_checkpoints", _LOOK),
    _Command("best", "resume:best", _LOOK),
    _Command("download", "files:download", _LOOK),
    _Command("get-checkpoint-urls", "files:get_checkpoint_urls", _LOOK),
    _Command("get_checkpoint_urls", "files:get_checkpoint_urls", _LOOK, hidden=True),  # as truss writes it
    _Command("stop", "jobs:stop", _LOOK),
    _Command("delete", "change:delete", _LOOK),
    _Command("workstation", "sessions:workstation", _INSIDE),
    _Command("isession", "sessions:isession", _INSIDE),
    _Command("sign-ssh-key", "sessions:sign_ssh_key", _INSIDE),
    _Command("update-session", "sessions:update_session", _INSIDE),
    _Command("update_session", "sessions:update_session", _INSIDE, hidden=True),  # as truss writes it
    _Command("serve", "local:serve", _HERE),
    _Command("cache", "files:cache", _LOOK),
    _Command("capacity", "capacity:app", _LOOK),
    _Command("local", "local:app", _HERE),
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"truss-train {version('truss-train-core')}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def app(*names: str) -> typer.Typer:
    """The command line: with the commands of these names, or with all of them if none of these is one.

    Typer works out every command that it is given in order to run one, which takes longer than most of them.
    """
    made = typer.Typer(
        name="truss-train",
        help="Train on Baseten or on this machine: submit, follow, resume, choose and deploy.",
        epilog=failures.EXIT_CODES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_options)
    for command in [command for command in _COMMANDS if command.name in names] or _COMMANDS:
        _add(command, made)
    return made


def _add(command: _Command, to: typer.Typer) -> None:
    module, _, name = command.where.partition(":")
    found = getattr(import_module(f"truss_train_core.cli.{module}"), name)
    if isinstance(found, typer.Typer):
        to.add_typer(found, name=command.name, rich_help_panel=command.panel)
    else:
        add = to.command(command.name, rich_help_panel=command.panel, epilog=command.epilog, hidden=command.hidden)
        add(found)


def main() -> None:
    """The console script: run a command and leave with its exit code."""
    gc.disable()  # until `connection.all_is_loaded`
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the terminal is put in order
    # httpx imports its own command line wherever that can be had, which takes longer than all the rest of httpx.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run a command; errors become a line on stderr. Returns the exit code."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character is no reason to fail
    try:
        return app(*arguments[:1])(arguments, prog_name="truss-train", standalone_mode=False) or 0
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
