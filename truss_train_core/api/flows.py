"""Logic written once for sync and async: a flow yields what it needs and is sent what came of it.

A flow is a generator. What it yields is an *effect*, a frozen value: a `Request` to be sent to the API, a `Pause`, the
time (`Now`), an event for whoever watches (`Emit`), or blocking `Work` such as an upload. A driver (`Client.run`,
`AsyncClient.run`) carries the effect out and sends the result in, or throws the error in, so that a flow handles
errors with plain `try`. Nothing in a flow blocks, reads a clock or opens a file, so it is tested by sending it answers:

    flow = jobs.wait(job)
    assert next(flow) == endpoints.get_job("p", "j")
    flow.send(answer)

Inside a flow, effects are written through the typed helpers below: `job = yield from send(get_job(p, j))`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from truss_train_core.api.request import Request

T = TypeVar("T")
R = TypeVar("R")


class Event(BaseModel):
    """Something that happened, for whoever watches: progress bars, engine logs, artifacts, lineage."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Pause:
    """Let this many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Rest(Pause):
    """A pause between two looks. A client whose answers are shared may end it earlier: when others look, too.

    Attributes:
        interval: the longest that it may take then.
    """

    interval: float


@dataclass(frozen=True)
class Now:
    """Ask for the time: seconds since the epoch, as a float."""


@dataclass(frozen=True)
class Emit:
    """Hand an event to the listener. An error that the listener raises ends the flow."""

    event: Event


@dataclass(frozen=True)
class Work:
    """Run blocking code: in place by the sync driver, in a thread by the async one."""

    function: Callable[[], Any]


Effect: TypeAlias = Request[Any] | Pause | Now | Emit | Work
Flow: TypeAlias = Generator[Effect, Any, R]


def send(request: Request[T]) -> Flow[T]:
    """Send a request; returns its answer, raises `ApiError`, `Unreachable` or `AnswerLost`."""
    answer: T = yield request
    return answer


def pause(seconds: float) -> Flow[None]:
    """Let `seconds` pass."""
    yield Pause(seconds)


def rest(seconds: float, interval: float) -> Flow[None]:
    """Let `seconds` pass, or less than `interval` until others of the same client look, too."""
    yield Rest(seconds, interval)


def now() -> Flow[float]:
    """The time, in seconds since the epoch."""
    answer: float = yield Now()
    return answer


def emit(event: Event) -> Flow[None]:
    """Tell whoever watches."""
    yield Emit(event)


def work(function: Callable[[], T]) -> Flow[T]:
    """Run blocking code and return its result."""
    answer: T = yield Work(function)
    return answer
