"""Running `truss-train` in a pseudo-terminal, as a person does."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TRUSS_TRAIN = Path(sys.executable).with_name("truss-train")


class Screen:
    """What a program shows on a terminal, and the keyboard."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown = ""

    def until(self, text: str, seconds: float = 30) -> str:
        """Wait for a text; returns what was shown up to it, and forgets that."""
        deadline = time.monotonic() + seconds
        while text not in self._shown:
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} was not shown: {self._shown!r}")
        upto, _, self._shown = self._shown.partition(text)
        return upto

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def rest(self) -> str:
        while self._read(0.2):
            pass
        return self._shown

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        try:
            more = os.read(self._terminal, 65536)
        except OSError:  # the program has ended
            return False
        for _ in range(more.count(b"\x1b[6n")):  # where is the cursor?
            os.write(self._terminal, b"\x1b[1;1R")
        self._shown += more.decode(errors="replace")
        return bool(more)


@contextmanager
def on_a_terminal(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], Screen]]:
    """Run a command in a pseudo-terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [TRUSS_TRAIN, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    try:
        yield process, Screen(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
