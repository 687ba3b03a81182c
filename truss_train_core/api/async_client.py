"""The sender of requests and driver of flows that awaits: `client.py` on an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Any, TypeVar

import httpx
import tenacity
from typing_extensions import Self

from truss_train_core.api import answers
from truss_train_core.api.clock import Clock
from truss_train_core.api.flows import AT_ONCE, Effect, Emit, Event, Flow, Now, Pause, Rest, Together, Work
from truss_train_core.api.request import Request
from truss_train_core.api.resting import SharedRests
from truss_train_core.api.retry import Retry
from truss_train_core.api.sending import Sender, ignore
from truss_train_core.api.sharing import AsyncSharedAnswers
from truss_train_core.remotes import Remote

T = TypeVar("T")
R = TypeVar("R")
AsyncListener = Callable[[Event], Awaitable[None] | None]


class _Turns:
    """What the flows of one run take turns at: sending, and telling the listener."""

    def __init__(self, on_event: AsyncListener) -> None:
        self.sending = asyncio.Semaphore(AT_ONCE)
        self._on_event = on_event
        self._telling = asyncio.Lock()

    async def tell(self, event: Event) -> None:
        async with self._telling:
            heard = self._on_event(event)
            if inspect.isawaitable(heard):
                await heard


async def _in_a_thread(work: Work, turns: _Turns) -> Any:
    """Blocking code cannot be cancelled, but learns that it was when it next tells how far it is."""
    loop, waiting = asyncio.get_running_loop(), True

    def tell(event: Event) -> None:
        if not waiting:
            raise CancelledError
        asyncio.run_coroutine_threadsafe(turns.tell(event), loop).result()

    try:
        return await asyncio.to_thread(work.function, tell)
    finally:
        waiting = False


class AsyncClient(Sender):
    """Sends requests and runs flows on an event loop. One per loop; same arguments as `Client`."""

    def __init__(
        self,
        remote: Remote | str = "baseten",
        *,
        retry: Retry | None = None,
        share: float = 0.0,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(remote, retry=retry, share=share, clock=clock)
        self._shared = AsyncSharedAnswers(share, self._clock)
        self._rests = SharedRests(self._moments, self._clock, self.send)
        self._http = httpx.AsyncClient(**self._http_settings(), transport=transport)

    async def send(self, request: Request[T]) -> T:
        """Like `Client.send`."""
        if request.shared and self._share:
            return await self._shared.answer(request, self._send_again)
        return await self._send_again(request)

    async def run(self, flow: Flow[R], *, on_event: AsyncListener = ignore) -> R:
        """Like `Client.run`; blocking work goes to a thread, and `on_event` may be a coroutine function."""
        return await self._run(flow, _Turns(on_event))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self, flow: Flow[R], turns: _Turns) -> R:
        try:
            effect = next(flow)
            while True:
                try:
                    value = await self._carry_out(turns, effect)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as end:
            result: R = end.value
            return result
        finally:
            flow.close()

    async def _carry_out(self, turns: _Turns, effect: Effect) -> Any:
        if isinstance(effect, Request):
            async with turns.sending:
                return await self.send(effect)
        if isinstance(effect, Pause):
            return await self._pause(effect)
        if isinstance(effect, Now):
            return self._clock.now()
        if isinstance(effect, Emit):
            return await turns.tell(effect.event)
        if isinstance(effect, Work):
            return await _in_a_thread(effect, turns)
        return await self._together(effect, turns)

    async def _pause(self, pause: Pause) -> None:
        if self._share and isinstance(pause, Rest) and pause.glance:
            await self._rests.rest(pause.interval, pause.glance)
        else:
            await self._clock.asleep(self._length(pause))

    async def _together(self, effect: Together, turns: _Turns) -> list[Any]:
        tasks = [asyncio.create_task(self._run(flow, turns)) for flow in effect.flows]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_again(self, request: Request[T]) -> T:
        again = tenacity.AsyncRetrying(
            **self._retry.arguments(request, self._clock), sleep=self._clock.asleep, reraise=True
        )
        return await again(self._send_once, request)

    async def _send_once(self, request: Request[T]) -> T:
        try:
            response = await self._http.request(**self._arguments(request))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._silence(request, error) from error
        return answers.read(request, response)
