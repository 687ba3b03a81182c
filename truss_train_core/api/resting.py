"""One look for all who rest: a wait whose job is as it was is not woken to find that out.

Among those who wait for an answer to the same question at the same `Moments`, one looks for all, as the one who asks
first does in `sharing.py`. When it leaves, another takes its place.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from truss_train_core.api.clock import Clock
from truss_train_core.api.flows import Glance
from truss_train_core.api.request import Request
from truss_train_core.api.sharing import Moments

_Interval = float | None  # seconds to rest on; None or 0 to rest no longer


@dataclass
class _Round:
    """Those who rest until the same moments, and whether one of them looks."""

    resting: dict[asyncio.Future[_Interval], Glance[Any]] = field(default_factory=dict)
    led: bool = False

    def answered(self, answer: Any, at: float, belongs: Callable[[float], bool]) -> None:
        """Let go those to whom the answer says something, and those who are to look at other moments from now on."""
        told = {each: glance.still(answer, at) for each, glance in self.resting.items()}
        for each, interval in told.items():
            if not interval or not belongs(interval):
                self._let_go(each, interval)

    def failed(self) -> None:
        """Let all go: each has a patience of its own."""
        for each in list(self.resting):
            self._let_go(each, None)

    def left(self, apart: float) -> None:
        """Where nobody looks any more, let somebody rest anew, who does then."""
        while self.resting and not self.led:
            each, _ = self.resting.popitem()
            if not each.done():
                each.set_result(apart)
                return

    def _let_go(self, each: asyncio.Future[_Interval], interval: _Interval) -> None:
        del self.resting[each]
        if not each.done():  # it may have been cancelled
            each.set_result(interval)


class SharedRests:
    """For the coroutines of one event loop.

    Args:
        moments: when to look.
        clock: what pauses and hours come from.
        ask: sends a request.
    """

    def __init__(self, moments: Moments, clock: Clock, ask: Callable[[Request[Any]], Awaitable[Any]]) -> None:
        self._moments = moments
        self._clock = clock
        self._ask = ask
        self._rounds: defaultdict[tuple[str, float], _Round] = defaultdict(_Round)

    async def rest(self, interval: float, glance: Glance[Any]) -> None:
        """Rest until an answer to the glance's question leaves something to do, or there is none.

        Args:
            interval: seconds until the first look, at most.
            glance: what to ask, and what to make of it.
        """
        left: _Interval = interval
        while left:
            left = await self._rest(self._moments.apart(left), glance)

    async def _rest(self, apart: float, glance: Glance[Any]) -> _Interval:
        round_ = self._rounds[glance.request.question, apart]
        until: asyncio.Future[_Interval] = asyncio.get_running_loop().create_future()
        round_.resting[until] = glance
        try:
            if not round_.led:
                await self._lead(round_, apart, glance.request, until)
            return await until
        finally:
            round_.resting.pop(until, None)
            round_.left(apart)

    async def _lead(
        self, round_: _Round, apart: float, request: Request[Any], until: asyncio.Future[_Interval]
    ) -> None:
        round_.led = True
        try:
            while not until.done():
                await self._clock.asleep(self._moments.until_next(self._clock.now(), apart))
                try:
                    answer = await self._ask(request)
                except Exception:
                    round_.failed()
                else:
                    round_.answered(answer, self._clock.now(), lambda interval: self._moments.apart(interval) == apart)
        finally:
            round_.led = False
