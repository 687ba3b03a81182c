"""Asking the person at the terminal. Where there is none, nothing is asked: the command says what to add to it."""

from __future__ import annotations

import sys

import typer

from truss_train_core.cli.failures import BadOptions


def can_ask() -> bool:
    """Whether somebody sits at a terminal, to read a question and to answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, otherwise: str, may_ask: bool = True) -> None:
    """Go on only if the person says yes; `otherwise` is what to add to the command where nobody can be asked.

    Raises:
        BadOptions: there is nobody to ask.
        typer.Abort: the answer is no.
    """
    if not (may_ask and can_ask()):
        raise BadOptions(f"Not done without a yes: {question}", hint=otherwise)
    typer.confirm(question, abort=True, err=True)
