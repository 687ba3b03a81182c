"""Run a command in a terminal and save what the terminal shows at the end as an SVG.

    python docs/terminal_picture.py docs/images/demo.svg make demo

Needs tmux. The terminal is high, so that what a live display redraws is not scrolled away.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 110, 200
SESSION = f"picture-{os.getpid()}"


def tmux(*arguments: str) -> str:
    return subprocess.run(["tmux", *arguments], check=True, capture_output=True, text=True).stdout


def recorded(command: list[str]) -> str:
    """What the terminal shows when the command has ended, with its colours."""
    tmux("new-session", "-d", "-s", SESSION, "-x", str(COLUMNS), "-y", str(ROWS), shlex.join(command))
    try:
        tmux("set-option", "-t", SESSION, "remain-on-exit", "on")
        while tmux("display-message", "-p", "-t", SESSION, "#{pane_dead}").strip() != "1":
            time.sleep(0.2)
        return tmux("capture-pane", "-e", "-p", "-S", "-", "-t", SESSION)
    finally:
        tmux("kill-session", "-t", SESSION)


def main() -> None:
    target, command = Path(sys.argv[1]), sys.argv[2:]
    lines = recorded(command).split("Pane is dead")[0].rstrip().splitlines()
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(f"$ {shlex.join(command)}\n" + "\n".join(lines)), soft_wrap=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="truss-train", unique_id="terminal")
    # The reader's own monospace font: a picture should not fetch anything.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    target.write_text(svg)


if __name__ == "__main__":
    main()
