"""What all waits have in common: limits, pauses with jitter, and patience with an API that is away for a while.

A wait asks until it is content. While the API does not answer, what is waited for goes on regardless: so an outage
does not end a wait before `Limits.outage` seconds have passed, and whoever watches is told.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from truss_train_core.api.flows import Flow, Glance, emit, now, pause, rest
from truss_train_core.errors import (
    RateLimited,
    ServerError,
    TrussTrainError,
    UnexpectedAnswer,
    Unreachable,
    WaitTimeout,
)
from truss_train_core.events import ApiOutage

T = TypeVar("T")

TRANSIENT = (Unreachable, ServerError, RateLimited, UnexpectedAnswer)
"""Errors that a later call may not meet. An unexpected answer is one of them: mostly the page of a proxy."""

OUTAGE_PAUSE = 15.0
"""Seconds between two attempts during an outage. The sender has repeated the call for a minute before each of them."""


@dataclass(frozen=True)
class Limits:
    """How long to wait.

    Attributes:
        timeout: seconds after which to give up, None for never. What is waited for goes on.
        outage: seconds for which an API that does not answer is put up with.
    """

    timeout: float | None = None
    outage: float = 30 * 60


FOREVER = Limits()


def jittered(seconds: float) -> float:
    """`seconds`, more or less: so that many who began at one moment do not all call at one moment."""
    return seconds * random.uniform(0.85, 1.15)  # noqa: S311 (spread, not secrecy)


def patiently(ask: Callable[[], Flow[T]], limit: float) -> Flow[T]:
    """What `ask` returns, asked again and again through an outage of up to `limit` seconds.

    Raises:
        ApiError, Unreachable: the last error of a longer outage; any other error at once.
    """
    began: float | None = None
    while True:
        try:
            return (yield from ask())
        except TRANSIENT as error:
            at = yield from now()
            began = at if began is None else began
            if at - began >= limit:
                raise
            yield from emit(ApiOutage(error=str(error), seconds=at - began))
            asked_for = (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
            yield from pause(jittered(max(OUTAGE_PAUSE, asked_for)))


def wait_until(
    content: Callable[[T], bool],
    ask: Callable[[], Flow[T]],
    *,
    pace: Callable[[T], float],
    limits: Limits,
    overdue: Callable[[float], WaitTimeout],
    glance: Callable[[], Glance[Any] | None] = lambda: None,
) -> Flow[T]:
    """Ask until the answer is one to be content with, and return that.

    Args:
        content: whether an answer ends the wait.
        ask: one question.
        pace: seconds until the next question, given the last answer; jitter is added.
        limits: how long to wait.
        overdue: the error for a wait that took this many seconds.
        glance: what is enough of a look while the last answer holds, if there is such a thing.

    Raises:
        WaitTimeout: from `overdue`.
        ApiError, Unreachable: an outage took longer than `limits.outage`.
    """
    began = yield from now()
    left = float("inf") if limits.timeout is None else limits.timeout
    while True:
        error: TrussTrainError | None = None
        try:
            answer = yield from patiently(ask, min(limits.outage, left))
            if content(answer):
                return answer
            interval = pace(answer)
        except TRANSIENT as raised:
            error, interval = raised, 0.0
        if limits.timeout is not None:
            spent = (yield from now()) - began
            left = limits.timeout - spent
            if left <= 0:
                raise overdue(spent) from error
        if error:
            raise error
        yield from rest(min(jittered(interval), left), min(interval, left), _until(began, limits, glance()))


def _until(began: float, limits: Limits, glance: Glance[T] | None) -> Glance[T] | None:
    """The glance, where it is not enough any more for the last interval before the timeout."""
    if glance is None or limits.timeout is None:
        return glance
    still, end = glance.still, began + limits.timeout

    def in_time(answer: T, at: float) -> float | None:
        interval = still(answer, at)
        return interval if interval is not None and at + interval < end else None

    return replace(glance, still=in_time)
