"""One supervisor owns a directory, and holds a lock on it for as long as it lives.

The kernel drops the lock with the process, however that ends. So nothing starts twice, and whether a supervisor is
alive is never guessed from a pid, which may by now be another process, or a start time, which moves with the clock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_FILE = "supervisor.lock"
_PATIENCE = 1.0
"""Seconds for which a claim is repeated: somebody may just be looking whether the directory is owned."""


@contextmanager
def claim(directory: Path) -> Iterator[bool]:
    """Own `directory` for the length of the block; False where another process owns it."""
    with _lock_file(directory) as handle:
        deadline = time.monotonic() + _PATIENCE
        while not (claimed := _try_lock(handle, fcntl.LOCK_EX)) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield claimed


def is_owned(directory: Path) -> bool:
    """Whether a supervisor lives that owns `directory`."""
    with _lock_file(directory) as handle:
        return not _try_lock(handle, fcntl.LOCK_SH)


@contextmanager
def _lock_file(directory: Path) -> Iterator[int]:
    handle = os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _try_lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
