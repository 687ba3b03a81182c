"""Writes cli.md: every command, and for every command and option of `truss train` what there is for it here.

    python docs/generate_cli_page.py

Those of `truss train` were listed from the current client; ours are read from the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from truss_train_core.cli.main import app

HERE = Path(__file__).parent
PAGE = HERE / "cli.md"
THEIRS = HERE.parent / "tests" / "cli" / "truss_train_options.txt"

_HEAD = """\
# The command line, command by command

<!-- Written by docs/generate_cli_page.py; change the code, and run it again. -->

Everywhere, `--remote` is `baseten` unless `TRUSS_TRAIN_REMOTE` says otherwise; a job is named by its id or its name,
and so is a project, under `--project` or `--project-id`; `-o json` prints JSON on stdout. Nothing is asked where there
is no terminal. `TRUSS_TRAIN_DEBUG=1` shows where an error arose. `truss-train COMMAND --help` explains each option.
"""

_BESIDE_TRUSS = """\
## Beside `truss train`

What `truss train` offers, and what there is for it here. What is `-o cli-table` there is `-o text` here. `--log` is not
here. Commands with an underscore, and `checkpoints list`, are understood as truss writes them, too.
"""

_NAMES = {
    "checkpoints list": "checkpoints",
    "deploy_checkpoints": "deploy-checkpoints",
    "get_checkpoint_urls": "get-checkpoint-urls",
    "update_session": "update-session",
}
"""Commands of another name here."""

_INSTEAD = {
    "--format": "`-o text` or `-o json`",
    "--non-interactive": "not here: this command asks nothing",
}
"""What there is instead of an option that is not here."""


def theirs() -> Iterator[tuple[str, list[str]]]:
    """Commands of `truss train`, each with its options and arguments."""
    for line in THEIRS.read_text().splitlines():
        if not line.startswith("#"):
            command, _, rest = line.partition(": ")
            yield command, rest.split()


class Ours(NamedTuple):
    """A command of `truss-train`: what it does, in a sentence; its arguments ("") and options with all their names."""

    said: str
    names: list[str]
    panel: str


def ours() -> dict[str, Ours]:
    """Commands of `truss-train` by name, in the order of its help."""
    found: dict[str, Ours] = {}

    def look(path: tuple[str, ...], command: Any, panel: str) -> None:
        if isinstance(command, TyperGroup):
            for name, each in command.commands.items():
                if not each.hidden:
                    look((*path, name), each, panel or each.rich_help_panel)
            return
        said = " ".join((command.help or "").split("\n\n")[0].split())
        names = ["/".join(each.opts) if isinstance(each, TyperOption) else "" for each in command.params]
        found[" ".join(path)] = Ours(said, names, panel)

    look((), get_command(app()), "")
    return found


def page() -> str:
    """The page as the code has it now."""
    here = ours()
    lines = [_HEAD]
    for panel in dict.fromkeys(each.panel for each in here.values()):
        lines += [f"## {panel}\n", "| command | what it does | options |", "| --- | --- | --- |"]
        for name, (said, names, where) in here.items():
            if where == panel:
                shown = ", ".join(f"`{each.split('/')[0]}`" for each in names if each)
                lines.append(f"| `truss-train {name}` | {said} | {shown} |")
        lines.append("")
    lines.append(_BESIDE_TRUSS)
    for command, options in theirs():
        said, names, _ = here[_NAMES.get(command, command)]
        lines += [f"### `truss train {command}`\n", f"`truss-train {_NAMES.get(command, command)}`: {said}\n"]
        lines += ["| option | here |", "| --- | --- |"]
        lines += [f"| `{each}` | {_state(each, names)} |" for each in options]
        if more := sorted(_beyond(options, names)):
            lines.append(f"\nBeyond that: {', '.join(f'`{each}`' for each in more)}.")
        lines.append("")
    return "\n".join(lines)


def _state(theirs: str, names: list[str]) -> str:
    if not theirs.startswith("-"):
        return "the same"
    mine = {each for name in names for each in name.split("/")}
    lacking = [each for each in theirs.split("/") if each not in mine]
    return "the same" if not lacking else _INSTEAD[lacking[0]]


def _beyond(theirs: list[str], names: list[str]) -> set[str]:
    known = {each for option in theirs for each in option.split("/")}
    return {name.split("/")[0] for name in names if name and not known & set(name.split("/"))}


if __name__ == "__main__":
    PAGE.write_text(page())
