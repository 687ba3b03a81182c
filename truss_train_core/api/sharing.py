"""One answer for all who ask the same at about the same time: how many waits cost one poll.

Requests are values, so equal questions are recognised. The first who asks sends; those who come meanwhile, or within
some seconds after, get the same outcome, an error included: during an outage nobody queues up to find out again.

Those who ask again and again do so at the same `Moments`: asked at a moment of one's own, every question would be new.
"""

from __future__ import annotations

import copy
import math
import random
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from truss_train_core.api.clock import Clock
from truss_train_core.api.request import Request

T = TypeVar("T")


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    at: float
    value: T | None = None
    error: Exception | None = None

    def take(self) -> T:
        if self.error is not None:
            raise copy.copy(self.error)  # each who asks gets a traceback of their own
        return self.value  # type: ignore[return-value]


class _Answers:
    """The latest outcome of each question."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._outcomes: dict[str, _Outcome[Any]] = {}
        self._readers: dict[str, Callable[[bytes], Any]] = {}

    def _fresh(self, question: str) -> _Outcome[Any] | None:
        outcome = self._outcomes.get(question)
        return outcome if outcome and self._clock.now() - outcome.at < self._seconds else None

    def _reread(self, request: Request[T]) -> Request[T]:
        """The request, read in the light of the last answer to it."""
        if request.reader is None:
            return request
        reader = self._readers.get(request.question)
        if reader is None:
            reader = self._readers[request.question] = request.reader()
        return replace(request, read=reader)

    def _keep(self, question: str, value: Any = None, error: Exception | None = None) -> _Outcome[Any]:
        outcome = self._outcomes[question] = _Outcome(self._clock.now(), value, error)
        return outcome


class SharedAnswers(_Answers):
    """For threads.

    Args:
        seconds: how long an outcome serves.
        clock: what tells the time.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        super().__init__(seconds, clock)
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def answer(self, request: Request[T], ask: Callable[[Request[T]], T]) -> T:
        """The answer to `request`: a fresh one that is there already, or what `ask` returns or raises."""
        question = request.question
        with self._locks[question]:
            outcome = self._fresh(question)
            if outcome is None:
                try:
                    outcome = self._keep(question, ask(self._reread(request)))
                except Exception as error:
                    outcome = self._keep(question, error=error)
        answer: T = outcome.take()
        return answer


class AsyncSharedAnswers(_Answers):
    """For the coroutines of one event loop."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        import asyncio  # which takes as long as all of this package, and blocking clients do without

        super().__init__(seconds, clock)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(self, request: Request[T], ask: Callable[[Request[T]], Awaitable[T]]) -> T:
        """As `SharedAnswers.answer`."""
        question = request.question
        async with self._locks[question]:
            outcome = self._fresh(question)
            if outcome is None:
                try:
                    outcome = self._keep(question, await ask(self._reread(request)))
                except Exception as error:
                    outcome = self._keep(question, error=error)
        answer: T = outcome.take()
        return answer


class Moments:
    """Moments that all who wait on one client have in common: every 30 s, and, for those who look more often, at
    halves, quarters and so on in between. Another client has others, so that processes do not all call at one moment.
    """

    _LONGEST = 30.0
    _SAME = 1e-3
    """How near the moment is that was just had, as a part of the distance between two: a clock that is being set right,
    and the rounding of numbers, wake a sleeper a little early."""

    def __init__(self) -> None:
        self._offset = random.uniform(0.0, self._LONGEST)  # noqa: S311 (spread, not secrecy)

    def until_next(self, now: float, interval: float) -> float:
        """Seconds until the next moment of those that lie at most `interval` seconds apart.

        Args:
            now: seconds since the epoch.
            interval: seconds; 0 for no pause at all.
        """
        if interval <= 0:
            return 0.0
        apart = self.apart(interval)
        left = apart - (now - self._offset) % apart
        return left if left > apart * self._SAME else left + apart

    def apart(self, interval: float) -> float:
        """Seconds between those moments that lie at most `interval` seconds apart, which is not 0."""
        return self._LONGEST / 2.0 ** max(0, math.ceil(math.log2(self._LONGEST / interval)))
