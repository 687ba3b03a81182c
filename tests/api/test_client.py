"""Both senders treat answers, errors and silence alike; every test here runs with both."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import httpx
import pytest

from truss_train_core import errors
from truss_train_core.api import endpoints
from truss_train_core.api.async_client import AsyncClient
from truss_train_core.api.client import Client
from truss_train_core.api.flows import Event, Flow, Tell, emit, long_work, now, pause, send, work
from truss_train_core.api.request import Request
from truss_train_core.api.retry import Retry
from truss_train_core.remotes import Remote
from truss_train_core.testing import ManualClock

KEY = "k3y-that-must-not-leak"
LONG = 30.0
Answer = Callable[[httpx.Request], httpx.Response]


def remote(url: str = "https://api.baseten.co") -> Remote:
    return Remote(name="test", api_url=url, web_url="https://app.baseten.co", key=KEY)


class Both:
    """Calls a client of one kind; `seen` is what arrived."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.clock = ManualClock()
        self.seen: list[httpx.Request] = []

    def __call__(self, do: str, argument: Any, answer: Answer, *, to: Remote | None = None, **options: Any) -> Any:
        def handle(request: httpx.Request) -> httpx.Response:
            self.seen.append(request)
            return answer(request)

        transport = httpx.MockTransport(handle)
        settings: dict[str, Any] = {"retry": Retry(deadline=30), "clock": self.clock, "transport": transport}
        if self.kind == "sync":
            with Client(to or remote(), **settings) as client:
                return getattr(client, do)(argument, **options)
        return asyncio.run(self._async(do, argument, to or remote(), settings, options))

    async def _async(self, do: str, argument: Any, to: Remote, settings: Any, options: Any) -> Any:
        async with AsyncClient(to, **settings) as client:
            return await getattr(client, do)(argument, **options)


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


def job_answer(**fields: Any) -> dict[str, Any]:
    job = {
        "id": "j1",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "current_status": "TRAINING_JOB_RUNNING",
        "training_project_id": "p1",
        "training_project": {"id": "p1", "name": "digits"},
        **fields,
    }
    return {"training_job": job}


def always(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    return lambda request: httpx.Response(status, json=body, headers=headers)


def in_turn(*answers: Answer) -> Answer:
    left = list(answers)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def hang_up(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset", request=request)


GET = endpoints.get_job("p1", "j1")
CREATE = endpoints.create_job("p1", {"name": "digits-1"})


def test_a_good_answer_becomes_its_model(both: Both) -> None:
    job = both("send", GET, always(200, job_answer(), None)).training_job
    assert (job.id, job.is_terminal) == ("j1", False)
    assert both.seen[0].headers["authorization"].endswith(KEY)
    assert both.seen[0].headers["user-agent"].startswith("truss-train/")


@pytest.mark.parametrize(
    ("status", "kind", "builtin"),
    [
        (400, errors.Rejected, ValueError),
        (401, errors.Unauthorized, PermissionError),
        (403, errors.Forbidden, PermissionError),
        (404, errors.NotFound, LookupError),
        (409, errors.Rejected, ValueError),
        (422, errors.Rejected, ValueError),
        (501, errors.Rejected, ValueError),
    ],
)
def test_an_error_that_repeating_does_not_help_comes_at_once(
    both: Both, status: int, kind: type[errors.ApiError], builtin: type[Exception]
) -> None:
    body = {"code": "SOME_CODE", "message": "what the\nserver says."}
    with pytest.raises(kind) as caught:
        both("send", GET, always(status, body, {"x-request-id": "r-7"}))
    error = caught.value
    assert isinstance(error, builtin)
    assert (error.status, error.code, error.request_id) == (status, "SOME_CODE", "r-7")
    assert error.message == f"job j1: what the server says (HTTP {status} to GET {GET.path})."
    assert len(both.seen) == 1
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("trouble", [refuse, hang_up, always(500), always(503)])
def test_a_call_that_is_safe_to_repeat_is_repeated(both: Both, trouble: Answer) -> None:
    answer = in_turn(trouble, trouble, always(200, job_answer()))
    assert both("send", GET, answer).training_job.id == "j1"
    assert len(both.seen) == 3
    assert len(both.clock.pauses) == 2


@pytest.mark.parametrize(("trouble", "kind"), [(hang_up, errors.AnswerLost), (always(500), errors.ServerError)])
def test_a_create_that_may_have_reached_the_server_is_not_repeated(
    both: Both, trouble: Answer, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        both("send", CREATE, trouble)
    assert len(both.seen) == 1


@pytest.mark.parametrize("trouble", [refuse, always(429, {"error": "slow down", "retry_after": 4})])
def test_a_create_that_was_not_carried_out_is_repeated(both: Both, trouble: Answer) -> None:
    both("send", CREATE, in_turn(trouble, always(200, job_answer())))
    assert len(both.seen) == 2


def test_a_429_waits_at_least_as_long_as_it_asks(both: Both) -> None:
    limited = always(429, {"error": "slow down", "retry_after": 7})
    both("send", GET, in_turn(limited, always(200, job_answer())))
    assert 7 <= both.clock.pauses[0] < 8


def test_a_429_that_asks_for_more_than_the_deadline_is_told(both: Both) -> None:
    with pytest.raises(errors.RateLimited) as caught:
        both("send", GET, always(429, {"error": "slow down", "retry_after": 600}))
    assert caught.value.retry_after == 600
    assert both.clock.pauses == []


def test_repeating_ends_at_the_deadline(both: Both) -> None:
    with pytest.raises(errors.Unreachable, match=r"no answer from api\.baseten\.co"):
        both("send", GET, refuse)
    assert 15 < sum(both.clock.pauses) <= 30


def test_an_answer_that_is_not_the_apis_is_told_as_such(both: Both) -> None:
    page: Answer = lambda request: httpx.Response(200, html="<h1>Sign in</h1>")  # noqa: E731
    with pytest.raises(errors.UnexpectedAnswer, match=r"not what the API promises .text/html"):
        both("send", GET, page)


def test_a_redirect_is_not_followed_with_the_key(both: Both) -> None:
    away = always(302, None, {"location": "https://elsewhere.example/"})
    with pytest.raises(errors.UnexpectedAnswer):
        both("send", GET, away)
    assert [request.url.host for request in both.seen] == ["api.baseten.co"]


def test_graphql_errors_are_errors(both: Both) -> None:
    body = {"data": None, "errors": [{"message": "no payment method", "extensions": {"code": "PAYMENT"}}]}
    with pytest.raises(errors.Rejected, match="no payment method") as caught:
        both("send", endpoints.list_instances(), always(200, body))
    assert caught.value.code == "PAYMENT"
    assert both.seen[0].url == "https://app.baseten.co/graphql/"


def test_a_presigned_address_is_given_no_key_and_its_signature_is_not_told(both: Both) -> None:
    url = "https://bucket.example/ckpt/trainer_state.json?X-Amz-Signature=s1gnature"
    assert both("send", endpoints.download(url, "state of checkpoint-1"), always(200, {"epoch": 1})) == b'{"epoch":1}'
    assert "authorization" not in both.seen[0].headers
    with pytest.raises(errors.Forbidden) as caught:
        both("send", endpoints.download(url, "state of checkpoint-1"), always(403))
    assert "s1gnature" not in str(caught.value)


def test_what_is_only_for_a_local_platform_goes_nowhere_else(both: Both) -> None:
    request = endpoints.deploy_checkpoints({"metadata": {"oracle_name": "m"}}, {"start_command": "python serve.py"})
    done = {"data": {"create_model_version_from_inference_template": {}}}
    both("send", request, always(200, done))
    local = Remote(name="local", api_url="http://localhost:8000", web_url="http://localhost:8000", key=KEY)
    both("send", request, always(200, done), to=local)
    bodies = [json.loads(request.content) for request in both.seen]
    assert "extensions" not in bodies[0]
    assert bodies[1]["extensions"] == {"local_server": {"start_command": "python serve.py"}}


class Noted(Event):
    text: str


def story(first: Request[Any], second: Request[Any]) -> Flow[str]:
    started = yield from now()
    yield from emit(Noted(text="begin"))
    job = (yield from send(first)).training_job
    yield from pause(90)
    try:
        yield from send(second)
    except errors.NotFound as error:
        yield from emit(Noted(text=error.message))
    thread = yield from work(threading.get_ident)
    passed = (yield from now()) - started
    return f"{job.id} {passed:.0f} {type(thread).__name__}"


def test_a_flow_is_driven_to_its_end(both: Both) -> None:
    heard: list[str] = []
    answers = in_turn(always(200, job_answer()), always(404, {"message": "gone"}))
    result = both("run", story(GET, GET), answers, on_event=lambda event: heard.append(event.text))
    assert result == "j1 90 int"
    assert heard == ["begin", f"job j1: gone (HTTP 404 to GET {GET.path})."]


def test_an_error_that_a_flow_does_not_handle_ends_it(both: Both) -> None:
    flow = story(GET, GET)
    with pytest.raises(errors.Unauthorized):
        both("run", flow, always(401))
    assert flow.gi_frame is None


def test_a_listener_that_fails_ends_the_flow_before_anything_is_sent(both: Both) -> None:
    def full(event: Event) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        both("run", story(GET, GET), always(200, job_answer()), on_event=full)
    assert both.seen == []


def test_blocking_work_tells_how_far_it_is_where_the_listener_is(both: Both) -> None:
    heard: list[tuple[str, int]] = []

    def count(tell: Tell) -> int:
        for number in range(3):
            tell(Noted(text=str(number)))
            assert len(heard) == number + 1  # it goes on when the listener has heard
        return 3

    def listen(event: Event) -> None:
        heard.append((event.text, threading.get_ident()))

    assert both("run", long_work(count), always(404), on_event=listen) == 3
    assert [text for text, _ in heard] == ["0", "1", "2"]
    assert {thread for _, thread in heard} == {threading.get_ident()}


def test_blocking_work_ends_with_what_its_listener_raises(both: Both) -> None:
    def full(event: Event) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        both("run", long_work(lambda tell: tell(Noted(text="half"))), always(404), on_event=full)


def test_blocking_work_that_is_cancelled_ends_when_it_next_tells_how_far_it_is() -> None:
    begun, cancelled, ended = threading.Event(), threading.Event(), threading.Event()
    heard: list[Event] = []

    def upload(tell: Tell) -> None:
        begun.set()
        assert cancelled.wait(LONG)
        try:
            tell(Noted(text="half"))
        except CancelledError:
            ended.set()

    async def run() -> None:
        async with AsyncClient(remote(), transport=httpx.MockTransport(always(404))) as client:
            task = asyncio.create_task(client.run(long_work(upload), on_event=heard.append))
            assert await asyncio.to_thread(begun.wait, LONG)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            cancelled.set()

    asyncio.run(run())
    assert ended.wait(LONG)
    assert heard == []


def test_the_async_driver_awaits_its_listener() -> None:
    heard: list[str] = []

    async def listen(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(type(event).__name__)

    both = Both("async")
    both("run", story(GET, GET), in_turn(always(200, job_answer()), always(404)), on_event=listen)
    assert heard == ["Noted", "Noted"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_gets_connections_of_its_own() -> None:
    client = Client(remote(), transport=httpx.MockTransport(always(200, job_answer())))
    client.send(GET)
    parents = client._http
    pid = os.fork()
    if pid == 0:
        client.send(GET)
        os._exit(0 if client._http is not parents else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_key_is_in_no_repr_and_no_error(both: Both) -> None:
    with pytest.raises(errors.Unauthorized) as caught:
        both("send", GET, always(401, {"message": "Invalid API key"}))
    assert KEY not in repr(remote()) + str(caught.value) + repr(caught.value)


def test_a_platform_on_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_once, args=[listener], daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(remote(url), retry=Retry(deadline=0)) as client:
            assert client.send(endpoints.list_projects()).training_projects == []


def answer_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        body = b'{"training_projects": []}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
