"""A flow in the pauses of another: what is not worth waiting for, but must not be left out.

Unlike flows that run together, the two take turns in one thread: nothing of the other one is under way when the first
has to end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from truss_train_core.api.flows import Effect, Flow, Pause, Rest, now, pause

R = TypeVar("R")


def beside(flow: Flow[R], other: Flow[None]) -> Flow[R]:
    """Carry out `flow`, and `other` whenever `flow` pauses; what is left of `other` then follows, also after an error.

    A pause of `flow` is as long as it asked for, and longer by what `other` does in it.

    Raises:
        Exception: what `flow` raised, or what `other` raised, which ends both.
    """
    aside = _Aside(other)
    yield from aside.go_on()
    try:
        effect: Effect = next(flow)
        while True:
            if isinstance(effect, Pause):
                effect = yield from aside.meanwhile(effect)
            try:
                value = yield effect
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(value)
    except StopIteration as end:
        result: R = end.value
    except Exception:
        yield from aside.finish()
        raise
    yield from aside.finish()
    return result


class _Aside:
    """A flow that is carried out from pause to pause. `due` is when its pause is over, None at its end."""

    def __init__(self, flow: Flow[None]) -> None:
        self._flow = flow
        self._due: float | None = None

    def go_on(self) -> Flow[None]:
        """Until it pauses, or ends."""
        self._due = None
        try:
            effect = next(self._flow)
            while not isinstance(effect, Pause):
                try:
                    value = yield effect
                except Exception as error:
                    effect = self._flow.throw(error)
                else:
                    effect = self._flow.send(value)
        except StopIteration:
            return
        self._due = (yield from now()) + effect.seconds

    def meanwhile(self, whole: Pause) -> Flow[Pause]:
        """Let it go on as often as it is due in a pause of somebody else; returns what is left of that."""
        while self._due is not None:
            until = max(0.0, self._due - (yield from now()))
            if until >= whole.seconds:
                break
            yield from pause(until)
            yield from self.go_on()
            whole = _less(whole, until)
        return whole

    def finish(self) -> Flow[None]:
        """All that is left of it."""
        while self._due is not None:
            yield from pause(max(0.0, self._due - (yield from now())))
            yield from self.go_on()


def _less(whole: Pause, seconds: float) -> Pause:
    if isinstance(whole, Rest):
        return replace(whole, seconds=whole.seconds - seconds, interval=whole.interval - seconds)
    return replace(whole, seconds=whole.seconds - seconds)
