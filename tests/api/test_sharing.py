"""One answer for all who ask the same at about the same time, in threads and on an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from truss_train_core.api import endpoints
from truss_train_core.api.async_client import AsyncClient
from truss_train_core.api.client import Client
from truss_train_core.api.flows import rest
from truss_train_core.api.retry import Retry
from truss_train_core.api.sharing import Moments
from truss_train_core.errors import ServerError
from truss_train_core.remotes import Remote
from truss_train_core.testing import ManualClock

REMOTE = Remote(name="test", api_url="https://api.baseten.co", web_url="https://app.baseten.co", key="k")
ASKERS = 50


class Api:
    """Answers when all who could have asked have had the chance to."""

    def __init__(self, status: int = 200) -> None:
        self.calls = 0
        self.status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        return httpx.Response(self.status, json={"training_jobs": [], "message": "down"})


def settings(api: Callable[[httpx.Request], httpx.Response], clock: ManualClock, share: float = 2.0) -> dict[str, Any]:
    return {"share": share, "clock": clock, "retry": Retry(deadline=0), "transport": httpx.MockTransport(api)}


def in_threads(client: Client, ask: Callable[[], Any]) -> list[Any]:
    """What each of many threads, all let loose at once, got or had raised."""
    start = threading.Barrier(ASKERS)

    def one(_: int) -> Any:
        start.wait(timeout=10)
        try:
            return ask()
        except ServerError as error:
            return error

    with ThreadPoolExecutor(ASKERS) as pool:
        return list(pool.map(one, range(ASKERS)))


def test_threads_that_ask_at_once_cost_one_call() -> None:
    api = Api()
    with Client(REMOTE, **settings(api, ManualClock())) as client:
        answers = in_threads(client, lambda: client.send(endpoints.active_jobs("p1")))
    assert api.calls == 1
    assert len({id(answer) for answer in answers}) == 1


def test_an_outage_is_found_out_once() -> None:
    api = Api(status=503)
    with Client(REMOTE, **settings(api, ManualClock())) as client:
        answers = in_threads(client, lambda: client.send(endpoints.active_jobs("p1")))
    assert api.calls == 1
    assert all(isinstance(answer, ServerError) for answer in answers)
    assert len({id(answer) for answer in answers}) == ASKERS  # nobody writes into another's traceback


def test_an_answer_serves_for_so_many_seconds_and_no_longer() -> None:
    api, clock = Api(), ManualClock()
    with Client(REMOTE, **settings(api, clock)) as client:
        for _ in range(3):
            client.send(endpoints.active_jobs("p1"))
            clock.advance(0.9)
        assert api.calls == 1
        clock.advance(0.9)
        client.send(endpoints.active_jobs("p1"))
    assert api.calls == 2


def test_other_questions_are_asked_each_time() -> None:
    api = Api()
    with Client(REMOTE, **settings(api, ManualClock())) as client:
        client.send(endpoints.active_jobs("p1"))
        client.send(endpoints.active_jobs("p2"))
        client.send(endpoints.search_jobs())
        client.send(endpoints.search_jobs())
    assert api.calls == 4


def test_a_client_shares_nothing_unless_told() -> None:
    api = Api()
    with Client(REMOTE, **settings(api, ManualClock(), share=0)) as client:
        client.send(endpoints.active_jobs())
        client.send(endpoints.active_jobs())
    assert api.calls == 2


def test_coroutines_that_ask_at_once_cost_one_call() -> None:
    api = Api()

    async def main() -> None:
        async with AsyncClient(REMOTE, **settings(api, ManualClock())) as client:
            await asyncio.gather(*(client.send(endpoints.active_jobs("p1")) for _ in range(ASKERS)))

    asyncio.run(main())
    assert api.calls == 1


def test_a_coroutine_that_is_cancelled_while_it_asks_leaves_the_question_to_the_next() -> None:
    async def main() -> int:
        asked, calls = asyncio.Event(), 0

        async def api(request: httpx.Request) -> httpx.Response:
            nonlocal calls
            calls += 1
            asked.set()
            if calls == 1:
                await asyncio.Event().wait()
            return httpx.Response(200, json={"training_jobs": []})

        async with AsyncClient(REMOTE, **settings(api, ManualClock())) as client:  # type: ignore[arg-type]
            first = asyncio.create_task(client.send(endpoints.active_jobs()))
            second = asyncio.create_task(client.send(endpoints.active_jobs()))
            await asked.wait()
            first.cancel()
            await asyncio.wait_for(second, timeout=10)
        return calls

    assert asyncio.run(main()) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_wait_for_its_parents_question() -> None:
    def fork_while_asking(request: httpx.Request) -> httpx.Response:
        if os.getpid() == parent and (child := os.fork()):
            exits.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        elif os.getpid() != parent and not again:
            again.append(True)
            client.send(endpoints.active_jobs())
            os._exit(0)
        return httpx.Response(200, json={"training_jobs": []})

    parent, exits, again = os.getpid(), list[int](), list[bool]()
    client = Client(REMOTE, **settings(fork_while_asking, ManualClock()))
    client.send(endpoints.active_jobs())
    assert exits == [0]


def test_who_looks_again_and_again_does_so_at_moments_that_all_have_in_common() -> None:
    for moments in [Moments() for _ in range(1000)]:
        woken = {interval: 1000.7 + moments.until_next(1000.7, interval) for interval in (30.0, 29.0, 10.0, 2.0, 0.01)}
        assert all(0 < woken[interval] - 1000.7 <= interval * 1.001 for interval in woken)
        longest = woken[30.0]
        assert all(moments.until_next(longest, interval) == pytest.approx(interval) for interval in (30.0, 15.0, 7.5))
        assert longest + moments.until_next(longest, 45.0) == pytest.approx(woken[30.0] + 30.0)
        assert moments.until_next(1000.7, 0.0) == 0.0


def test_who_wakes_a_little_before_a_moment_does_not_look_twice() -> None:
    moments = Moments()
    moment = 1000.0 + moments.until_next(1000.0, 30.0)
    assert moments.until_next(moment - 0.02, 30.0) == pytest.approx(30.02)
    assert moments.until_next(moment - 0.04, 30.0) == pytest.approx(0.04)


def test_waits_that_began_at_different_moments_wake_at_the_same_ones() -> None:
    clock, woken = ManualClock(), []
    with Client(REMOTE, **settings(Api(), clock)) as client:
        for _ in range(3):
            clock.advance(1.3)
            client.run(rest(11.0, 10.0))
            woken.append(clock.now())
    with Client(REMOTE, **settings(Api(), clock, share=0)) as client:
        client.run(rest(11.0, 10.0))
    assert clock.pauses[-1] == 11.0
    gaps = [(at - woken[0]) / 7.5 for at in woken]
    assert gaps == pytest.approx([round(gap) for gap in gaps], abs=1e-3)
