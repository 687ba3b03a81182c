"""A clock whose pauses take no time."""

from __future__ import annotations

from truss_train_core.api.clock import Clock


class ManualClock(Clock):
    """Time that moves only when somebody pauses, or by `advance`.

    Args:
        start: the first answer of `now()`, in seconds since the epoch.

    Attributes:
        pauses: how long each pause was, in seconds, in order.
    """

    def __init__(self, start: float = 1_750_000_000.0) -> None:
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
