"""Our list of what `truss train` offers is what the installed truss offers; docs/cli.md says what there is for each."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import click
from truss.cli import train_commands

ROOT = Path(__file__).parents[1]
LISTED = ROOT / "tests" / "cli" / "truss_train_options.txt"
EVERYWHERE = {"--log", "--help"}
PAGE = runpy.run_path(str(ROOT / "docs" / "generate_cli_page.py"))


def offered(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Each command of a tree, with its arguments and its options."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from offered(each, (*path, name))
        return
    names = {
        str(each.name).upper() if isinstance(each, click.Argument) else "/".join(sorted(each.opts, reverse=True))
        for each in command.params
    }
    yield " ".join(path), names - EVERYWHERE


def in_order(options: list[str]) -> set[str]:
    return {"/".join(sorted(each.split("/"), reverse=True)) for each in options}


def test_the_list_of_commands_and_options_is_what_truss_has() -> None:
    listed = {command: in_order(options) for command, options in PAGE["theirs"]()}
    assert listed == dict(offered(train_commands.train)), f"correct {LISTED}, and run docs/generate_cli_page.py"


def test_each_option_is_offered_here_or_the_page_says_what_there_is_instead() -> None:
    ours = PAGE["ours"]()
    for command, options in offered(train_commands.train):
        names = ours[PAGE["_NAMES"].get(command, command)].names
        for option in options:
            assert PAGE["_state"](option, names)
