"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Printed(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def is_refusal(self, *words: str, code: int = 2) -> None:
        """Assert that its last words are one line with what is wrong, and perhaps a second with what to do."""
        assert self.code == code, self
        assert self.out == ""
        assert "Traceback" not in self.err
        first, *more = self.err[self.err.index("Error: ") :].splitlines()
        assert len(more) <= 1, more
        for word in words:
            assert word in first


Command = Callable[..., Printed]
"""Runs `truss-train` with these arguments."""

Project = Callable[..., Any]
"""Makes a quick project of this name and with these environment variables; returns its config file."""
