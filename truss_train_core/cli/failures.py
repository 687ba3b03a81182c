"""How a command ends when it does not end well: errors become a line and an exit code, Ctrl-C leaves jobs running."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from typer.exceptions import TyperException

from truss_train_core import errors
from truss_train_core.cli import output

if TYPE_CHECKING:
    from pydantic import ValidationError

FAILED = 1
BAD_INPUT = 2
TROUBLE = 3
INTERRUPTED = 130

EXIT_CODES = (
    f"Exit codes: 0 done; {FAILED} the job, run or deployment failed or took too long; {BAD_INPUT} the command or a "
    f"file is wrong, and nothing was created; {TROUBLE} the API, the platform or this machine is in trouble; "
    f"{INTERRUPTED} interrupted, while jobs go on. TRUSS_TRAIN_DEBUG=1 shows where an error arose."
)


class BadOptions(errors.TrussTrainError, ValueError):
    """The options of a command do not go together, or lack something."""


_FAILURES = (
    errors.JobFailed,
    errors.RunFailed,
    errors.DeploymentFailed,
    errors.NoUsableCheckpoint,
    errors.WaitTimeout,
    errors.BudgetSpent,
)
_MISTAKES = (
    BadOptions,
    errors.ConfigFileError,
    errors.DefinitionError,
    errors.PackageError,
    errors.RemoteError,
    errors.JobNotFound,
)


def report(error: Exception) -> int:
    """Say on stderr what failed; returns the exit code."""
    if os.environ.get("TRUSS_TRAIN_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    message, hint = _explained(error)
    if message:
        output.print_error(message, hint)
    return _exit_code(error)


@contextmanager
def interruptible(goes_on: Callable[[], list[str]]) -> Iterator[None]:
    """Let Ctrl-C end the command and nothing else; `goes_on` says what still runs, how to come back, how to stop it."""
    try:
        yield
    except KeyboardInterrupt:
        for line in goes_on():
            output.message(line)
        raise typer.Exit(INTERRUPTED) from None


def _exit_code(error: Exception) -> int:
    from pydantic import ValidationError

    if isinstance(error, TyperException):
        return error.exit_code
    if isinstance(error, _FAILURES):
        return FAILED
    return BAD_INPUT if isinstance(error, (*_MISTAKES, ValidationError)) else TROUBLE


def _explained(error: Exception) -> tuple[str, str | None]:
    """What to say of an error: what failed, and what to do next."""
    from pydantic import ValidationError

    if isinstance(error, errors.TrussTrainError):
        return error.message, error.hint
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        return error.format_message(), f"See {context.command_path} --help." if context else None
    if isinstance(error, ValidationError):
        return _problems(error), None
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", None
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"Unexpected {said}", "This is a mistake in truss-train itself; TRUSS_TRAIN_DEBUG=1 shows where it arose."


def _problems(error: ValidationError) -> str:
    """Every field that is wrong and why, without what it was given: that may be a secret."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join([error.title, *map(str, detail['loc'])])}: {detail['msg'].removeprefix('Value error, ')}"
        for detail in details
    )
