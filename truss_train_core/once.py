"""Creating something exactly once through an API without idempotency keys.

The API creates again whenever it is asked again. So what is created carries a mark that can be looked up (a name, the
checkpoint it serves), and:

  * it is looked up before it is created, and what exists is adopted;
  * after a create whose answer was lost it is looked up several times, since it may become visible late, and created
    again only if it does not;
  * after a create it is looked up once more, since another process may have created it at the same moment: the oldest
    stays, and ours is dropped if it is not that one.

A lookup that fails is an error, never an empty answer. Killed at any point and called again, it ends the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from truss_train_core.api.flows import Flow, pause
from truss_train_core.errors import AnswerLost, ServerError, UnexpectedAnswer

LOOK_AGAIN = (0.0, 1.0, 3.0, 6.0, 10.0)
"""Seconds before each look after a lost answer; together longer than a create is known to take to become visible."""
LATE_CREATE = 60.0
"""Seconds after which a create that was on its way is taken to have been carried out, or never to be."""
CREATES = 3
"""How often at most to create, when each answer is lost and nothing becomes visible."""

MAYBE_CREATED = (AnswerLost, ServerError, UnexpectedAnswer)
"""Errors of a create after which the thing may exist."""


class HasId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=HasId)
P = TypeVar("P")


@dataclass(frozen=True)
class Once(Generic[T]):
    """What there is exactly one of now, and whether this call created it."""

    value: T
    created: bool


def create_once(
    *,
    look: Callable[[], Flow[T | None]],
    prepare: Callable[[], Flow[P]],
    create: Callable[[P], Flow[T]],
    drop: Callable[[T, T], Flow[None]],
) -> Flow[Once[T]]:
    """Adopt what exists, or create it.

    Args:
        look: the oldest one that bears the mark, or None.
        prepare: what has to be done before a create and costs something, such as an upload; done at most once.
        create: one create, never repeated by the sender.
        drop: undo our own create (its first argument), because an older one exists (its second).

    Raises:
        AnswerLost, ServerError, UnexpectedAnswer: after several creates without an answer and without a trace.
    """
    existing = yield from look()
    if existing:
        return Once(existing, created=False)
    prepared = yield from prepare()
    creates = 0
    while True:
        creates += 1
        try:
            ours = yield from create(prepared)
        except MAYBE_CREATED:
            found = yield from _look_again(look)
            if found:
                return Once(found, created=True)
            if creates == CREATES:
                raise
        else:
            return (yield from _oldest(ours, look, drop))


def _look_again(look: Callable[[], Flow[T | None]]) -> Flow[T | None]:
    for seconds in LOOK_AGAIN:
        yield from pause(seconds)
        found = yield from look()
        if found:
            return found
    return None


def _oldest(ours: T, look: Callable[[], Flow[T | None]], drop: Callable[[T, T], Flow[None]]) -> Flow[Once[T]]:
    found = yield from look()
    if found is None or found.id == ours.id:
        return Once(ours, created=True)
    yield from drop(ours, found)
    return Once(found, created=False)
