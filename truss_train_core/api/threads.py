"""Flows at the same time, for the driver that blocks.

The flows themselves stay in the thread that drives, and with them events and blocking work: listeners and the functions
of users need not be safe for threads. Only requests and pauses are waited for in other threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

from truss_train_core.api.clock import Clock
from truss_train_core.api.flows import AT_ONCE, Effect, Flow, Pause, Together, resume
from truss_train_core.api.request import Request

CarryOut = Callable[[Effect], Any]
Sleep = Callable[[float], None]
WaitFor = Callable[[Request[Any] | Pause, Sleep], Any]


def run_together(flows: Sequence[Flow[Any]], clock: Clock, here: CarryOut, elsewhere: WaitFor) -> list[Any]:
    """Run flows at the same time; returns their results in order.

    Args:
        flows: none of which has begun.
        clock: what pauses come from.
        here: carries out what is not waited for, in this thread.
        elsewhere: carries out a request or a pause in another thread, and pauses by the function that it is given,
            which raises once nobody waits any more.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return _Threads(pool, clock, here, elsewhere).together(flows)


@dataclass(frozen=True)
class _Threads:
    pool: Executor
    clock: Clock
    here: CarryOut
    elsewhere: WaitFor

    def together(self, flows: Sequence[Flow[Any]]) -> list[Any]:
        """Flows in flows use the same threads. Nothing is under way any more once this has returned or raised."""
        results: dict[int, Any] = {}
        begun: set[Future[Any]] = set()
        done: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()
        ended = threading.Event()

        def sleep(seconds: float) -> None:
            self.clock.sleep(seconds)
            if ended.is_set():
                raise CancelledError

        def go_on(n: int, outcome: Callable[[], Any]) -> None:
            """Let a flow go on until it waits, or ends."""
            try:
                effect = resume(flows[n], outcome)
                while not isinstance(effect, (Request, Pause)):
                    effect = resume(flows[n], partial(self._carry_out, effect))
            except StopIteration as end:
                results[n] = end.value
                return
            future = self.pool.submit(copy_context().run, self.elsewhere, effect, sleep)
            begun.add(future)
            future.add_done_callback(lambda it: done.put((n, it)))

        try:
            left = list(reversed(range(len(flows))))
            while left or begun:
                while left and len(begun) < AT_ONCE:  # no more, so that answers do not pile up
                    go_on(left.pop(), lambda: None)
                if begun:
                    n, future = done.get()
                    begun.remove(future)
                    go_on(n, future.result)
        finally:
            ended.set()
            for future in begun:
                future.cancel()
            wait(begun)
        return [results[n] for n in range(len(flows))]

    def _carry_out(self, effect: Effect) -> Any:
        return self.together(effect.flows) if isinstance(effect, Together) else self.here(effect)
