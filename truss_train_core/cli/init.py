"""`truss-train init`: a project to begin with."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

import truss_train_core
from truss_train_core.cli import options, output
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.output import Format

_STARTER = "starter"


def init(
    list_examples: Annotated[bool, typer.Option("--list-examples", help="Show which examples there are.")] = False,
    target_directory: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            show_default=False,
            help="Of the new project, truss-train-init if not given; with --examples, what they are put into.",
        ),
    ] = None,
    examples: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Examples, each into a directory of its name.")
    ] = None,
    form: options.Output = Format.TEXT,
) -> None:
    """Write a training project to begin with, or examples. Nothing that exists is replaced.

    On the local platform, what examples need is installed beside the platform itself: for "digits" and "two_nodes"
    safetensors and scikit-learn.
    """
    shipped = {each.name: each for each in sorted(_shipped().iterdir()) if (each / "config.py").exists()}
    if list_examples:
        _print(list(shipped), "examples", form)
        return
    if examples is None:
        wanted = {target_directory or Path("truss-train-init"): shipped[_STARTER]}
    else:
        wanted = {(target_directory or Path()) / name: _named(shipped, name) for name in _names(examples)}
    for target in wanted:
        if os.path.lexists(target):
            raise BadOptions(
                f"{target} exists already, and nothing is replaced.", hint="Move it, or add --target-directory."
            )
    for target, source in wanted.items():
        _write(source, target)
    _print([str(target) for target in wanted], "paths", form)
    output.messages(["Submit it, here to the platform of `truss-train serve`:"])
    output.messages(f"  truss-train push {target / 'config.py'} --remote local --tail" for target in wanted)


def _shipped() -> Path:
    """The examples: part of the installed package, or beside it in a checkout."""
    package = Path(truss_train_core.__file__).parent
    return next(path for path in (package / "examples", package.parent / "examples") if path.is_dir())


def _names(examples: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in examples.split(",")))


def _named(shipped: dict[str, Path], name: str) -> Path:
    if name not in shipped:
        raise BadOptions(f"There is no example {name!r}.", hint=f"The examples are: {', '.join(shipped)}.")
    return shipped[name]


def _write(source: Path, target: Path) -> None:
    """Copy the files of a project; it has its name once all is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".init-") as folder:
        files = Path(folder) / "files"
        files.mkdir()
        for file in sorted(each for each in source.iterdir() if each.is_file()):
            shutil.copyfile(file, files / file.name)
        files.rename(target)


def _print(lines: list[str], what: str, form: Format) -> None:
    if form is Format.JSON:
        output.print_json({what: lines})
    else:
        for line in lines:
            output.stdout().print(line, soft_wrap=True)
