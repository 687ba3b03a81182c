"""Clocks for tests: one that does not wait, and one that waits less."""

from __future__ import annotations

import asyncio
import time

from truss_train_core.api.clock import Clock


class ManualClock(Clock):
    """Time that moves only when somebody pauses, or by `advance`.

    Args:
        start: the first answer of `now()`, in seconds since the epoch.

    Attributes:
        pauses: how long each pause was, in seconds, in order.
    """

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        super().__init__()
        self._now = start
        self.pauses: list[float] = []

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Let `seconds` have passed."""
        self._now += seconds


class FastClock(Clock):
    """Time that passes faster than it does, for waits on something that really runs.

    Args:
        speed: seconds that pass in a second.
    """

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._made = super().now()

    def now(self) -> float:
        return self._made + (super().now() - self._made) * self._speed

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._speed)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
