"""How processes end, in words: exit codes, signals, and the last of what they printed."""

from __future__ import annotations

import signal

_LONGEST_QUOTE = 4000
"""Characters of output that an error message quotes at most."""


def shell_code(returncode: int) -> int:
    """An exit code as a shell shows it: 128 and the signal's number for a process that a signal ended."""
    return 128 - returncode if returncode < 0 else returncode


def is_of_signal(returncode: int) -> bool:
    """Whether a signal ended the process, or what its shell waited for."""
    return shell_code(returncode) > 128


def was_killed(returncode: int) -> bool:
    """Whether SIGKILL ended the process, or what its shell waited for."""
    return shell_code(returncode) == 128 + signal.SIGKILL


def describe(returncode: int) -> str:
    """An exit code for the reader of a message, with the name of the signal."""
    code = shell_code(returncode)
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"exit code {code}"
    reason = ", often for want of memory" if was_killed(returncode) else ""
    return f"exit code {code} (ended by {name}{reason})"


def quote(output: str) -> str:
    """The end of what was printed, to be put behind a message."""
    return f"\nThe last lines of its output:\n{output[-_LONGEST_QUOTE:]}" if output else "\nIt printed nothing."
