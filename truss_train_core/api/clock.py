"""Time as a parameter: what the senders and drivers ask for the hour and for pauses."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

_passed: Callable[[], float] = time.monotonic
if hasattr(time, "CLOCK_BOOTTIME"):  # which goes on while the machine sleeps
    _passed = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class Clock:
    """The real clock: the hour at which it was made, and the time that has passed since.

    So it never goes back, and whoever sets the machine's clock neither ends a wait nor prolongs it; its hours are then
    off by as much as that. Tests hand in a clock whose pauses take no time (`truss_train_core.testing.ManualClock`).
    """

    def __init__(self) -> None:
        self._began = time.time() - _passed()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._began + _passed()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, blocking this thread."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Let `seconds` pass, letting the event loop go on."""
        import asyncio  # who calls this has imported it long ago; who sleeps needs none

        await asyncio.sleep(seconds)
