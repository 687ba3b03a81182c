"""Log lines on a console. What a job writes is shown in its colours, and cannot do anything else to the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from truss_train_core.cli import output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from truss_train_core.api.models import LogLine

_LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def print_log(console: Console, lines: Iterable[LogLine], *, replicas: bool) -> None:
    """Print lines, each with its time and, where `replicas`, the replica it came from."""
    for line in lines:
        console.print(_shown(line, replicas), soft_wrap=True)


def _shown(line: LogLine, replicas: bool) -> Text:
    from rich.text import Text

    time = datetime.fromtimestamp(int(line.timestamp) / 1e9).strftime("%H:%M:%S")
    shown = Text.assemble((f"{time}  ", "dim"))
    if replicas and line.replica:
        shown.append(f"{line.replica}  ", style="blue")
    # Colours become styles; of a line that redraws itself (\r), the last state is kept.
    said = Text.from_ansi(output.harmless(line.message.rstrip("\r\n")))
    said.stylize_before(_LEVEL_STYLES.get((line.level or "").upper(), ""))
    return shown.append_text(said)
