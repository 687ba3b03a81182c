"""Time as a parameter: what the senders and drivers ask for the hour and for pauses."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The real clock. Tests hand in one whose pauses take no time (`truss_train_core.testing.ManualClock`)."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, blocking this thread."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Let `seconds` pass, letting the event loop go on."""
        await asyncio.sleep(seconds)
