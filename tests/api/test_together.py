"""Flows that run together: in order, at once, and ended together; with both drivers."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest

from truss_train_core import errors
from truss_train_core.api import endpoints
from truss_train_core.api.async_client import AsyncClient
from truss_train_core.api.client import Client
from truss_train_core.api.flows import AT_ONCE, Event, Flow, Together, emit, now, pause, send, together, work
from truss_train_core.api.retry import Retry
from truss_train_core.remotes import Remote
from truss_train_core.testing import ManualClock

T = TypeVar("T")
REMOTE = Remote(name="test", api_url="https://api.example", web_url="https://app.example", key="k")
LONG = 30.0
"""Seconds after which a test that waits in vain fails."""


class Server:
    """Answers a download of "/n" with n: once as many are there as it waits for, and 404 to what it has not."""

    def __init__(self, gather: int = 1, missing: frozenset[int] = frozenset()) -> None:
        self.open = self.most = 0
        self.asked: list[int] = []
        self.contexts: list[str] = []
        self._gather = gather
        self._missing = missing
        self._changed = threading.Condition()
        self._gathered: asyncio.Event | None = None

    def sync(self, request: httpx.Request) -> httpx.Response:
        with self._changed:
            self._come(request)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.most >= self._gather, LONG)
            self.open -= 1
        return self._answer(request)

    async def asynchronous(self, request: httpx.Request) -> httpx.Response:
        self._gathered = self._gathered or asyncio.Event()
        self._come(request)
        try:
            if self.most >= self._gather:
                self._gathered.set()
            await asyncio.wait_for(self._gathered.wait(), LONG)
        finally:
            self.open -= 1
        return self._answer(request)

    def _come(self, request: httpx.Request) -> None:
        self.asked.append(int(request.url.path[1:]))
        self.contexts.append(CONTEXT.get())
        self.open += 1
        self.most = max(self.most, self.open)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.path[1:])
        return httpx.Response(404) if number in self._missing else httpx.Response(200, content=str(number))


CONTEXT: contextvars.ContextVar[str] = contextvars.ContextVar("CONTEXT", default="none")
Run = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a flow against a server, and looks whether anything is left of it."""

    def sync(flow: Flow[T], server: Server, **more: Any) -> T:
        before = threading.active_count()
        with Client(REMOTE, transport=httpx.MockTransport(server.sync), **settings()) as client:
            try:
                return client.run(flow, **more)
            finally:
                assert threading.active_count() == before

    def asynchronous(flow: Flow[T], server: Server, **more: Any) -> T:
        async def main() -> T:
            async with AsyncClient(REMOTE, transport=httpx.MockTransport(server.asynchronous), **settings()) as client:
                try:
                    return await client.run(flow, **more)
                finally:
                    assert asyncio.all_tasks() == {asyncio.current_task()}

        return asyncio.run(main())

    return sync if request.param == "sync" else asynchronous


def settings() -> dict[str, Any]:
    return {"retry": Retry(deadline=0), "clock": ManualClock()}


class Read(Event):
    number: int


def read(number: int) -> Flow[int]:
    content = yield from send(endpoints.download(f"https://files.example/{number}", f"file {number}"))
    yield from emit(Read(number=number))
    return int(content)


def test_the_results_are_in_order_and_no_more_requests_than_allowed_are_under_way(run: Run) -> None:
    server = Server(gather=AT_ONCE)
    assert run(together(read(n) for n in range(50)), server) == list(range(50))
    assert server.most == AT_ONCE


def test_flows_in_flows_share_the_connections(run: Run) -> None:
    def folder(first: int) -> Flow[list[int]]:
        found = yield from together(read(n) for n in range(first, first + 10))
        return [*found, (yield from read(first + 10))]

    server = Server(gather=AT_ONCE)
    found = run(together(folder(first) for first in (0, 100, 200)), server)
    assert found == [list(range(first, first + 11)) for first in (0, 100, 200)]
    assert server.most == AT_ONCE


def test_listeners_and_the_functions_of_users_are_called_one_at_a_time(run: Run) -> None:
    busy = threading.Lock()
    heard: list[int] = []
    threads: set[int] = set()

    def listen(event: Read) -> None:
        assert busy.acquire(blocking=False)
        threads.add(threading.get_ident())
        heard.append(event.number)
        busy.release()

    run(together(read(n) for n in range(20)), Server(gather=AT_ONCE), on_event=listen)
    assert sorted(heard) == list(range(20))
    assert threads == {threading.get_ident()}


def test_a_listener_that_awaits_hears_one_event_at_a_time() -> None:
    busy = asyncio.Semaphore(1)

    async def listen(event: Event) -> None:
        assert not busy.locked()
        async with busy:
            await asyncio.sleep(0)

    async def main() -> None:
        async with AsyncClient(REMOTE, transport=httpx.MockTransport(Server(AT_ONCE).asynchronous)) as client:
            await client.run(together(read(n) for n in range(20)), on_event=listen)

    asyncio.run(main())


def test_a_flow_may_do_whatever_it_may_do_alone(run: Run) -> None:
    def everything(number: int) -> Flow[tuple[int, str]]:
        before = yield from now()
        yield from pause(60)
        assert (yield from now()) >= before + 60
        word = yield from work(lambda: f"worked on {number}")
        return (yield from read(number)), word

    assert run(together(everything(n) for n in (1, 2, 3)), Server()) == [(n, f"worked on {n}") for n in (1, 2, 3)]


def test_a_flow_may_handle_its_errors_and_those_of_flows_in_it(run: Run) -> None:
    def carefully(flow: Flow[Any]) -> Flow[Any]:
        try:
            return (yield from flow)
        except errors.NotFound:
            return "missing"

    several = together([read(3), read(4)])
    flows = [carefully(read(1)), carefully(read(2)), carefully(several)]
    assert run(together(flows), Server(missing=frozenset({2, 4}))) == [1, "missing", "missing"]


def test_the_first_error_ends_all_and_leaves_nothing_behind(run: Run) -> None:
    flows = [read(n) for n in range(200)]
    server = Server(gather=AT_ONCE, missing=frozenset({5}))
    with pytest.raises(errors.NotFound, match="file 5"):
        run(together(flows), server)
    assert server.open == 0
    assert len(server.asked) < len(flows)
    assert [flow for flow in flows if flow.gi_frame is not None] == []


def test_what_an_error_ends_is_repeated_no_more() -> None:
    """One download is missing; another is answered with 500, for as long as it is repeated."""
    missing = threading.Event()

    class Clock(ManualClock):
        def sleep(self, seconds: float) -> None:
            assert missing.wait(LONG)
            super().sleep(seconds)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404 if request.url.path == "/0" else 500)

    def flow() -> Flow[None]:
        try:
            yield from read(0)
        finally:
            missing.set()

    clock = Clock()
    with (
        Client(REMOTE, transport=httpx.MockTransport(answer), clock=clock, retry=Retry(deadline=600)) as client,
        pytest.raises(errors.NotFound),
    ):
        client.run(together([read(1), flow()]))
    assert len(clock.pauses) <= 2


def test_a_listener_that_fails_ends_all(run: Run) -> None:
    def full(event: Event) -> None:
        raise OSError("No space left on device")

    flows = [read(n) for n in range(20)]
    with pytest.raises(OSError, match="No space left"):
        run(together(flows), Server(), on_event=full)
    assert all(flow.gi_frame is None for flow in flows)


def test_an_interrupt_ends_all() -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    flows = [read(n) for n in range(20)]
    before = threading.active_count()
    with (
        Client(REMOTE, transport=httpx.MockTransport(Server().sync)) as client,
        pytest.raises(KeyboardInterrupt),
    ):
        client.run(together(flows), on_event=interrupt)
    assert threading.active_count() == before
    assert all(flow.gi_frame is None for flow in flows)


def test_a_cancelled_task_cancels_all() -> None:
    server = Server(gather=AT_ONCE + 1)  # which never come together
    flows = [read(n) for n in range(20)]

    async def main() -> None:
        async with AsyncClient(REMOTE, transport=httpx.MockTransport(server.asynchronous)) as client:
            task = asyncio.create_task(client.run(together(flows)))
            while server.open < AT_ONCE:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert server.open == 0
    assert all(flow.gi_frame is None for flow in flows)


def test_requests_are_sent_in_the_context_of_whoever_runs_the_flow(run: Run) -> None:
    token = CONTEXT.set("a task")
    server = Server()
    run(together(read(n) for n in range(3)), server)
    CONTEXT.reset(token)
    assert server.contexts == ["a task"] * 3


def test_it_is_tested_by_sending_it_answers_and_closing_it_closes_all() -> None:
    flows = [read(n) for n in range(3)]
    flow = together(flows)
    effect = next(flow)
    assert isinstance(effect, Together)
    assert effect.flows == tuple(flows)
    next(flows[0])
    flow.close()
    assert all(each.gi_frame is None for each in flows)

    flow = together([read(1), read(2)])
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(["one", "two"])
    assert end.value.value == ["one", "two"]


@pytest.mark.parametrize("count", [0, 1])
def test_one_flow_or_none_needs_no_company(run: Run, count: int) -> None:
    assert run(together(read(n) for n in range(count)), Server()) == list(range(count))


def test_flows_that_wait_for_nothing_end(run: Run) -> None:
    assert run(together(now() for _ in range(20)), Server()) == [ManualClock().now()] * 20
