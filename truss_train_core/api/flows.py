"""Logic written once for sync and async: a flow yields what it needs and is sent what came of it.

A flow is a generator. What it yields is an *effect*, a frozen value: a `Request` to be sent to the API, a `Pause`, the
time (`Now`), an event for whoever watches (`Emit`), blocking `Work` such as an upload, or flows that are to run at the
same time (`Together`). A driver (`Client.run`, `AsyncClient.run`) carries the effect out and sends the result in, or
throws the error in, so that a flow handles errors with plain `try`. Nothing in a flow blocks, reads a clock or opens a
file, so it is tested by sending it answers:

    flow = jobs.wait(job)
    assert next(flow) == endpoints.get_job("p", "j")
    flow.send(answer)

Inside a flow, effects are written through the typed helpers below: `job = yield from send(get_job(p, j))`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from truss_train_core.api.request import Request
from truss_train_core.values import Value

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8
"""How many requests of flows that run together are under way at the same time, at most: a client's connections, and
what a server is willing to answer to one, are limited."""


class Event(Value):
    """Something that happened, for whoever watches: progress bars, engine logs, artifacts, lineage."""


@dataclass(frozen=True)
class Pause:
    """Let this many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Glance(Generic[T]):
    """What is enough of a look as long as nothing has happened, so that a client can look for many who rest.

    Attributes:
        request: a shared one.
        still: given its answer and the time, the seconds for which to rest on, at most; None where there is something
            to do. It may be called any number of times, and must not raise.
    """

    request: Request[T]
    still: Callable[[T, float], float | None]


@dataclass(frozen=True)
class Rest(Pause):
    """A pause between two looks. A client whose answers are shared may end it earlier: when others look, too.

    Attributes:
        interval: the longest that it may take then.
        glance: with which such a client may prolong it, for as long as there is nothing to do.
    """

    interval: float
    glance: Glance[Any] | None = None


@dataclass(frozen=True)
class Now:
    """Ask for the time: seconds since the epoch, as a float."""


@dataclass(frozen=True)
class Emit:
    """Hand an event to the listener. An error that the listener raises ends the flow."""

    event: Event


Tell: TypeAlias = Callable[[Event], None]
"""What blocking code is given to tell whoever watches how far it is. It raises where nobody waits for the code."""


@dataclass(frozen=True)
class Work:
    """Run blocking code: in place by the sync driver, in a thread by the async one."""

    function: Callable[[Tell], Any]


@dataclass(frozen=True)
class Together:
    """Run flows, none of which has begun, at the same time; what comes back are their results in order.

    An error that one of them does not handle ends the others, and is raised once they have ended.
    """

    flows: tuple[Flow[Any], ...]


Effect: TypeAlias = Request[Any] | Pause | Now | Emit | Work | Together
Flow: TypeAlias = Generator[Effect, Any, R]


def send(request: Request[T]) -> Flow[T]:
    """Send a request; returns its answer, raises `ApiError`, `Unreachable` or `AnswerLost`."""
    answer: T = yield request
    return answer


def pause(seconds: float) -> Flow[None]:
    """Let `seconds` pass."""
    yield Pause(seconds)


def rest(seconds: float, interval: float, glance: Glance[Any] | None = None) -> Flow[None]:
    """Let `seconds` pass, or less than `interval` until others of the same client look, too; see `Rest`."""
    yield Rest(seconds, interval, glance)


def now() -> Flow[float]:
    """The time, in seconds since the epoch."""
    answer: float = yield Now()
    return answer


def emit(event: Event) -> Flow[None]:
    """Tell whoever watches."""
    yield Emit(event)


def work(function: Callable[[], T]) -> Flow[T]:
    """Run blocking code and return its result."""
    return (yield from long_work(lambda tell: function()))


def long_work(function: Callable[[Tell], T]) -> Flow[T]:
    """Run blocking code that tells whoever watches how far it is, and return its result."""
    answer: T = yield Work(function)
    return answer


def together(flows: Iterable[Flow[T]]) -> Flow[list[T]]:
    """Run flows at the same time, with `AT_ONCE` requests under way at most; returns their results in order.

    For what is independent: many small files, many jobs. A flow may do in it whatever it may do alone, and run others
    together itself. Only requests and pauses pass at the same time, and blocking work where the driver is async:
    listeners hear one event at a time, in the thread that drives.

    The first error that a flow does not handle ends the others, and is raised once they have ended: a request that is
    under way then is waited for, or cancelled where the driver is async, and no other is begun.
    """
    some = tuple(flows)
    if len(some) == 1:
        return [(yield from some[0])]
    try:
        results: list[T] = yield Together(some)
    finally:
        for each in some:
            each.close()
    return results


def resume(flow: Flow[Any], carry_out: Callable[[], Any]) -> Effect:
    """For drivers: send a flow what came of its effect, or throw the error in; returns the next effect.

    Raises:
        StopIteration: the flow has ended; its value is the flow's result.
    """
    try:
        value = carry_out()
    except Exception as error:
        return flow.throw(error)
    return flow.send(value)
