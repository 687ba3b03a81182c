"""The two senders of requests and drivers of flows: `Client` blocks, `AsyncClient` awaits. They hold no logic.

A request is sent, a flow is run:

    with Client("local") as client:
        job = client.send(endpoints.get_job(project_id, job_id)).training_job
        job = client.run(jobs.wait(job))
"""

from __future__ import annotations

import asyncio
import inspect
import os
import platform
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import httpx
import tenacity
from typing_extensions import Self

from truss_train_core.api import answers
from truss_train_core.api.clock import Clock
from truss_train_core.api.flows import (
    AT_ONCE,
    Effect,
    Emit,
    Event,
    Flow,
    Now,
    Pause,
    Rest,
    Together,
    Work,
    resume,
)
from truss_train_core.api.request import Request
from truss_train_core.api.resting import SharedRests
from truss_train_core.api.retry import Retry
from truss_train_core.api.sharing import AsyncSharedAnswers, Moments, SharedAnswers
from truss_train_core.errors import Unreachable
from truss_train_core.remotes import Remote, resolve_remote

T = TypeVar("T")
R = TypeVar("R")
Listener = Callable[[Event], None]
AsyncListener = Callable[[Event], Awaitable[None] | None]

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Seconds to wait for a connection and for each part of an answer, as the current client does (seen on the wire)."""


def _user_agent() -> str:
    try:
        release = version("truss-train-core")
    except PackageNotFoundError:
        release = "source"
    return f"truss-train/{release} (Python/{platform.python_version()}; {platform.system()})"


def _ignore(event: Event) -> None:
    """The listener of those who do not listen."""


class _Sender:
    """What both clients share: where to send, and how a `Request` is put into HTTP. No I/O."""

    def __init__(
        self, remote: Remote | str, *, retry: Retry | None = None, share: float = 0.0, clock: Clock | None = None
    ) -> None:
        self.remote = resolve_remote(remote) if isinstance(remote, str) else remote
        self._retry = retry or Retry()
        self._share = share
        self._clock = clock or Clock()
        self._moments = Moments()

    def _length(self, pause: Pause) -> float:
        if self._share and isinstance(pause, Rest):
            return self._moments.until_next(self._clock.now(), pause.interval)
        return pause.seconds

    def _arguments(self, request: Request[Any]) -> dict[str, Any]:
        body = request.body
        if body is not None and request.local_extension and self.remote.is_local:
            body = {**body, **request.local_extension}
        key = {} if request.to == "url" else {"Authorization": self.remote.authorization}
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": self._url(request),
            "params": {name: value for name, value in request.query.items() if value is not None} or None,
            "headers": {**request.headers, **key},
        }
        if body is not None:
            arguments["json"] = body
        if request.timeout is not None:
            arguments["timeout"] = httpx.Timeout(request.timeout, connect=10.0)
        return arguments

    def _http_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"timeout": TIMEOUT, "headers": {"User-Agent": _user_agent()}}
        if self.remote.is_local:
            # Proxies of the environment are for the world outside: none of them can reach a platform on this machine.
            settings["trust_env"] = False
            if self.remote.api_url.startswith("http:"):  # and to read whom to trust takes longer than most commands
                settings["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
        return settings

    def _url(self, request: Request[Any]) -> str:
        if request.to == "url":
            return request.path
        if request.to == "graphql":
            return self.remote.graphql_url
        if request.to == "model":
            return self.remote.model_url(request.path)
        return self.remote.api_url + request.path

    def _silence(self, request: Request[Any], error: Exception) -> Exception:
        host = httpx.URL(self._url(request)).netloc.decode()
        if isinstance(error, httpx.TransportError):
            return answers.silence(request, error, host)
        return Unreachable(f"{request.about}: {host} cannot be called: {error}.")


class Client(_Sender):
    """Sends requests and runs flows, blocking. Safe to share between threads, and to use after a fork.

    Args:
        remote: a `Remote`, or the name of one ("baseten", "local", a section of .trussrc, an address).
        retry: how long to repeat calls that are safe to repeat.
        share: seconds for which the answer to a question that many ask (which jobs are active) serves everyone who
            uses this client; those who wait then look at the same moments, so that all waits of a process cost one
            call per interval. 0 shares nothing.
        clock: what pauses and hours come from.
        transport: an httpx transport, for tests and proxies.

    Raises:
        RemoteError: the remote is not configured, or has no key.
    """

    def __init__(
        self,
        remote: Remote | str = "baseten",
        *,
        retry: Retry | None = None,
        share: float = 0.0,
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(remote, retry=retry, share=share, clock=clock)
        self._transport = transport
        self._owner = 0
        self._http: httpx.Client | None = None
        self._begin_in_this_process()

    def send(self, request: Request[T]) -> T:
        """Send one request; repeated as `Retry` says.

        Raises:
            ApiError, Unreachable, AnswerLost: see `errors.py`.
        """
        self._begin_in_this_process()
        if request.shared and self._share:
            return self._shared.answer(request, self._send_again)
        return self._send_again(request)

    def run(self, flow: Flow[R], *, on_event: Listener = _ignore) -> R:
        """Run a flow to its end and return its result; `on_event` hears what happens meanwhile, in this thread."""
        try:
            effect = next(flow)
            while True:
                effect = resume(flow, partial(self._carry_out, on_event, effect))
        except StopIteration as end:
            result: R = end.value
            return result
        finally:
            flow.close()

    def close(self) -> None:
        """Close the connections. The client may be used again."""
        if self._http is not None and self._owner == os.getpid():
            self._http.close()
        self._owner = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _carry_out(self, on_event: Listener, effect: Effect) -> Any:
        if isinstance(effect, Request):
            return self.send(effect)
        if isinstance(effect, Pause):
            return self._clock.sleep(self._length(effect))
        if isinstance(effect, Now):
            return self._clock.now()
        if isinstance(effect, Emit):
            return on_event(effect.event)
        if isinstance(effect, Work):
            return effect.function()
        return self._together(effect, on_event)

    def _together(self, effect: Together, on_event: Listener) -> list[Any]:
        from truss_train_core.api.threads import run_together  # most processes run no flows together

        self._begin_in_this_process()  # here, so that not each thread does
        return run_together(effect.flows, self._clock, partial(self._carry_out, on_event), self._wait_for)

    def _wait_for(self, effect: Request[Any] | Pause, sleep: Callable[[float], None]) -> Any:
        if isinstance(effect, Pause):
            return sleep(self._length(effect))
        if effect.shared and self._share:  # for others, too, who may still wait when `sleep` ends
            return self.send(effect)
        return self._send_again(effect, sleep)

    def _send_again(self, request: Request[T], sleep: Callable[[float], None] | None = None) -> T:
        sleep = sleep or self._clock.sleep
        again = tenacity.Retrying(**self._retry.arguments(request, self._clock), sleep=sleep, reraise=True)
        answer: T = again(self._send_once, request)
        return answer

    def _send_once(self, request: Request[T]) -> T:
        try:
            assert self._http is not None
            response = self._http.request(**self._arguments(request))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._silence(request, error) from error
        return answers.read(request, response)

    def _begin_in_this_process(self) -> None:
        # A forked child must not speak on its parent's connections, nor wait for a lock of a thread that it lacks.
        if self._owner != os.getpid():
            self._http = httpx.Client(**self._http_settings(), transport=self._transport)
            self._shared = SharedAnswers(self._share, self._clock)
            self._owner = os.getpid()


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


class AsyncClient(_Sender):
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

    async def run(self, flow: Flow[R], *, on_event: AsyncListener = _ignore) -> R:
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
            return await asyncio.to_thread(effect.function)
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
