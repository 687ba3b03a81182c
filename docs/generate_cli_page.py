"""Writes cli.md: every command and option of `truss train`, and what there is for it in `truss-train`.

    python docs/generate_cli_page.py

Those of `truss train` were listed from the current client; ours are read from the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from truss_train_core.cli.main import app

HERE = Path(__file__).parent
PAGE = HERE / "cli.md"
THEIRS = HERE.parent / "tests" / "cli" / "truss_train_options.txt"

_HEAD = """\
# The command line, command by command

<!-- Written by docs/generate_cli_page.py; change the code, and run it again. -->

First what `truss train` offers, and what there is for it here; then what there is here alone. Everywhere, `--remote`
is `baseten` unless `TRUSS_TRAIN_REMOTE` says otherwise; a job is named by its id or its name, and so is a project,
under `--project` or `--project-id`; `-o json` prints JSON on stdout, and what is `-o cli-table` there is `-o text`.
Nothing is asked where there is no terminal, with or without `--non-interactive`. `--log` is not here:
`TRUSS_TRAIN_DEBUG=1` shows where an error arose. Commands with an underscore, and `checkpoints list`, are understood as
truss writes them, too.
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


def ours() -> dict[str, tuple[str, list[str]]]:
    """Commands of `truss-train`: what each does, in a sentence, its arguments and its options with all their names."""
    found: dict[str, tuple[str, list[str]]] = {}
    pending = [((), get_command(app))]
    while pending:
        path, command = pending.pop()
        if isinstance(command, TyperGroup):
            pending += [((*path, name), each) for name, each in command.commands.items() if not each.hidden]
            continue
        said = " ".join((command.help or "").split("\n\n")[0].split())
        names = ["/".join(each.opts) if isinstance(each, TyperOption) else "" for each in command.params]
        found[" ".join(path)] = said, names
    return found


def page() -> str:
    """The page as the code has it now."""
    here = ours()
    lines = [_HEAD, "## What `truss train` offers\n"]
    matched = set()
    for command, options in theirs():
        name = _NAMES.get(command, command)
        matched.add(name)
        said, names = here[name]
        lines += [f"### `truss train {command}`\n", f"`truss-train {name}`: {said}\n"]
        lines += ["| option | here |", "| --- | --- |"]
        lines += [f"| `{each}` | {_state(each, names)} |" for each in options]
        if more := sorted(_beyond(options, names)):
            lines.append(f"\nBeyond that: {', '.join(f'`{each}`' for each in more)}.")
        lines.append("")
    lines += ["## What there is here alone\n", "| command | what it does | options |", "| --- | --- | --- |"]
    for name, (said, names) in sorted(here.items()):
        if name not in matched:
            shown = ", ".join(f"`{each.split('/')[0]}`" for each in names if each)
            lines.append(f"| `truss-train {name}` | {said} | {shown} |")
    return "\n".join(lines) + "\n"


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
