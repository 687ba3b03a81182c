"""The blocking sender of requests and driver of flows; `async_client.py` has the one that awaits. They hold no logic.

A request is sent, a flow is run:

    with Client("local") as client:
        job = client.send(endpoints.get_job(project_id, job_id)).training_job
        job = client.run(jobs.wait(job))
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import httpx
import tenacity
from typing_extensions import Self

from truss_train_core.api import answers
from truss_train_core.api.clock import Clock
from truss_train_core.api.flows import Effect, Emit, Event, Flow, Now, Pause, Together, Work, resume
from truss_train_core.api.request import Request
from truss_train_core.api.retry import Retry
from truss_train_core.api.sending import Sender, ignore
from truss_train_core.api.sharing import SharedAnswers
from truss_train_core.remotes import Remote

T = TypeVar("T")
R = TypeVar("R")
Listener = Callable[[Event], None]


class Client(Sender):
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

    def run(self, flow: Flow[R], *, on_event: Listener = ignore) -> R:
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
            return effect.function(on_event)
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
