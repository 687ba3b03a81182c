"""What commands print. Results go to stdout, everything else to stderr, so that stdout can always be piped.

With `-o json` stdout is one JSON document, or one per line where a command goes on for a while. With `-o text` it is
written by rich: colours and tables on a terminal, the same words as plain lines elsewhere. Messages need rich on a
terminal alone, since to load it takes a tenth of a second.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Line = Sequence[tuple[str, str]]
"""A line in parts, each a text and its style, "" for none."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_CONTROL = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, the clipboard
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # colours, and moving about
    r"|\x1b[^\[\]]?"  # resets and the like
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)

_PLAIN_WIDTH = 200
"""Columns where there is no terminal to fit into: enough for a table to keep its lines whole."""

_STATUS_STYLES = {
    "completed": "green",
    "active": "green",
    "running": "cyan",
    "failed": "red",
    "deploy failed": "red",
    "build failed": "red",
    "unhealthy": "red",
    "preempted": "magenta",
    "stopped": "dim",
    "inactive": "dim",
    "scaled to zero": "green",
}


class Format(str, Enum):
    """The values of `--output`."""

    TEXT = "text"
    JSON = "json"


@cache
def stdout() -> Console:
    """For results in text."""
    return _console(to_stderr=False)


@cache
def stderr() -> Console:
    """For messages, progress and errors."""
    return _console(to_stderr=True)


def _console(*, to_stderr: bool) -> Console:
    from rich.console import Console

    is_terminal = (sys.stderr if to_stderr else sys.stdout).isatty()
    fits = is_terminal or "COLUMNS" in os.environ
    return Console(stderr=to_stderr, highlight=False, emoji=False, markup=False, width=None if fits else _PLAIN_WIDTH)


def message(line: str | Line, style: str = "") -> None:
    """A line for the person, on stderr; never broken by us, so that it can be copied and searched for."""
    parts: Line = ((line, style),) if isinstance(line, str) else line
    if on_terminal():
        stderr().print(styled(parts), soft_wrap=True)
    else:
        text = harmless("".join(text for text, _ in parts)).replace("\r", "")  # rich leaves this out, too
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - nothing to be styled


def on_terminal() -> bool:
    """Whether stderr is a terminal, or is to be taken for one: rich decides, unless there is nothing to decide."""
    may_be_taken_for_one = os.environ.keys() & {"FORCE_COLOR", "TTY_COMPATIBLE"}
    return bool(sys.stderr.isatty() or may_be_taken_for_one) and stderr().is_terminal


def styled(line: Line) -> Text:
    """A line for rich."""
    from rich.text import Text

    return Text.assemble(*line)


def messages(lines: Iterable[str]) -> None:
    """Several lines for the person."""
    for line in lines:
        message(line)


def warn(text: str) -> None:
    """A line about something that may surprise."""
    message((("Warning:", "bold yellow"), (f" {text}", "")))


def print_error(text: str, hint: str | None = None) -> None:
    """The line that a command fails with, and what to do next below it; last lines of a job's log in between."""
    first, *more = harmless(text).splitlines() or [""]
    message((("Error:", "bold red"), (f" {first}", "")))
    for line in more:
        message(line, style="dim")
    if hint:
        message(hint, style="dim")


def harmless(text: str) -> str:
    """Text from elsewhere without what could do anything to a terminal but colour it."""
    return _CONTROL.sub(lambda found: found[0] if _COLOUR.fullmatch(found[0]) else "", text)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """A result as JSON; models and dates included, NaN as null. `indent=None` gives one line."""
    print(as_json(value, indent=indent), flush=True)  # noqa: T201 - the result itself


def as_json(value: Any, *, indent: int | None = 2) -> str:
    """The text that `print_json` prints."""
    from pydantic_core import to_json

    return to_json(_plain(value), indent=indent, inf_nan_mode="null").decode()


def _plain(value: Any) -> Any:
    """The value with models in it as dicts: before 2.14, pydantic knows none whose class has only been a field's."""
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A result as CSV, with a line of names."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def table(*columns: str, right: Sequence[str] = (), gives_way: Sequence[str] = ()) -> Table:
    """An empty table in the house style: no frames, a quiet head.

    Args:
        columns: their heads.
        right: those of figures, aligned to the right.
        gives_way: those that become narrower on a narrow terminal, which the others do last; see `may_be_cut`.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, no_wrap=column not in gives_way, overflow="ellipsis")
    return made


def may_be_cut(text: str | None) -> Text:
    """A cell that ends in "…" where its column has become too narrow."""
    from rich.text import Text

    return Text(text or "", no_wrap=True, overflow="ellipsis")


def status_text(status: str) -> Text:
    """A status as people say it, in its colour."""
    from rich.text import Text

    from truss_train_core.events import plain_status

    said = plain_status(status)
    return Text(said, style=_STATUS_STYLES.get(said, "yellow"))


def duration(seconds: float) -> str:
    """A span as a clock shows it: 0:07, 12:30, 3:04:05, and whole days before that."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{days} d {clock}" if days else clock


def ago(moment: datetime) -> str:
    """How long a moment is past: "4 min ago"."""
    seconds = (datetime.now(timezone.utc) - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def size(count: float) -> str:
    """Bytes for people: "12.3 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def figure(value: float | None) -> str:
    """A metric's value, short enough for a column; a dash where there is none."""
    if value is None:
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}"
    return f"{value:.4f}"
