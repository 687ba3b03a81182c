"""From what processes print to lines of a log: pipes are read, split into lines, and written as they come.

Values of the job's secrets that it prints are masked. One thread reads the pipes of all ranks. A rank's commands, one
after the other, write to the same pipe, which ends when its last writer is gone.
"""

from __future__ import annotations

import os
import re
import selectors
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from truss_train_core.local.joblogs import LogWriter

LONGEST_LINE = 1 << 16
"""Bytes after which a line is cut in two."""

MASK = "***"
SHORTEST_SECRET = 6
_READ_SIZE = 1 << 16
_CONTINUATION_BYTES = 3


class LineSplitter:
    """Splits a stream of bytes into lines of text.

    A carriage return starts the line anew, so that of a progress bar only what a terminal would show is kept. A line
    without end is given out after `flush_after` seconds, so that progress bars and prompts are seen live. What is not
    UTF-8 is replaced.
    """

    def __init__(self, flush_after: float) -> None:
        self._flush_after = flush_after
        self._rest = b""
        self._rest_since = 0.0

    def feed(self, data: bytes, now: float) -> list[str]:
        """The lines that `data` completes. `now` is in seconds of any steady clock."""
        if not self._rest:
            self._rest_since = now
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._rest_since = now
        while len(self._rest) > LONGEST_LINE:
            head, self._rest = _cut(self._rest)
            lines.append(head)
        return [piece for line in lines for piece in _texts(line)]

    def overdue(self, now: float) -> list[str]:
        """The unfinished line, if it has been waiting for its end for too long."""
        return self.finish() if self._rest and now - self._rest_since >= self._flush_after else []

    def finish(self) -> list[str]:
        """The unfinished line, if there is one: nothing follows."""
        rest, self._rest = self._rest, b""
        return list(_texts(rest)) if rest else []


def masking(secrets: Iterable[str]) -> Callable[[str], str]:
    """What replaces secrets in a line of text. Of a secret of several lines, each is one.

    Those of fewer than `SHORTEST_SECRET` characters stay: they are parts of ordinary words.
    """
    parts = {part for secret in secrets for part in secret.splitlines() if len(part) >= SHORTEST_SECRET}
    if not parts:
        return str
    longest_first = sorted(parts, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return lambda line: pattern.sub(MASK, line)


class LogPump(threading.Thread):
    """Reads what the ranks print and writes it to their logs, until all pipes have ended.

    Attributes:
        outputs: for each rank, the descriptor that its processes are to write to.
    """

    def __init__(self, logs: Sequence[LogWriter], *, flush_after: float, secrets: Iterable[str] = ()) -> None:
        super().__init__(name="log-pump", daemon=True)
        pipes = [os.pipe() for _ in logs]
        self.outputs = tuple(write for _, write in pipes)
        self._flush_after = flush_after
        self._mask = masking(secrets)
        self._selector = selectors.DefaultSelector()
        for (read, _), log in zip(pipes, logs, strict=True):
            self._selector.register(read, selectors.EVENT_READ, (LineSplitter(flush_after), log))
        self._given_up = threading.Event()

    def run(self) -> None:
        while self._selector.get_map() and not self._given_up.is_set():
            for key, _ in self._selector.select(timeout=self._flush_after / 2):
                self._read(key)
            for key in list(self._selector.get_map().values()):
                splitter, log = key.data
                if lines := splitter.overdue(time.monotonic()):
                    log.output(map(self._mask, lines))
        self._selector.close()

    def _read(self, key: selectors.SelectorKey) -> None:
        splitter, log = key.data
        data = os.read(key.fd, _READ_SIZE)
        if lines := splitter.feed(data, time.monotonic()) if data else splitter.finish():
            log.output(map(self._mask, lines))
        if not data:
            self._selector.unregister(key.fd)
            os.close(key.fd)

    def finish(self, patience: float = 5.0) -> None:
        """Write out what is left once the processes have ended.

        Args:
            patience: seconds after which a pipe that some process still holds open is given up.
        """
        for output in self.outputs:
            os.close(output)
        self.join(patience)
        self._given_up.set()
        self.join()


def _texts(line: bytes) -> list[str]:
    """A line as a terminal would leave it, as text, in pieces of bounded length."""
    shown = line.rstrip(b"\r").rpartition(b"\r")[2]
    pieces = []
    while len(shown) > LONGEST_LINE:
        head, shown = _cut(shown)
        pieces.append(head)
    return [piece.decode("utf-8", "replace") for piece in [*pieces, shown]]


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """Cut at the longest length, or a little before where that would cut a character in two."""
    end = LONGEST_LINE
    while end > LONGEST_LINE - _CONTINUATION_BYTES and line[end] & 0b1100_0000 == 0b1000_0000:
        end -= 1
    return line[:end], line[end:]
