"""One answer for all who ask the same at about the same time: how many waits cost one poll.

Requests are values, so equal questions are recognised. The first who asks sends; those who come meanwhile, or within
some seconds after, get the same outcome, an error included: during an outage nobody queues up to find out again.
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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

    def _fresh(self, question: str) -> _Outcome[Any] | None:
        outcome = self._outcomes.get(question)
        return outcome if outcome and self._clock.now() - outcome.at < self._seconds else None

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
        question = _question(request)
        with self._locks[question]:
            outcome = self._fresh(question)
            if outcome is None:
                try:
                    outcome = self._keep(question, ask(request))
                except Exception as error:
                    outcome = self._keep(question, error=error)
        answer: T = outcome.take()
        return answer


class AsyncSharedAnswers(_Answers):
    """For the coroutines of one event loop."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        super().__init__(seconds, clock)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(self, request: Request[T], ask: Callable[[Request[T]], Awaitable[T]]) -> T:
        """As `SharedAnswers.answer`."""
        question = _question(request)
        async with self._locks[question]:
            outcome = self._fresh(question)
            if outcome is None:
                try:
                    outcome = self._keep(question, await ask(request))
                except Exception as error:
                    outcome = self._keep(question, error=error)
        answer: T = outcome.take()
        return answer


def _question(request: Request[Any]) -> str:
    return json.dumps([request.method, request.path, dict(request.query), request.body], sort_keys=True)
