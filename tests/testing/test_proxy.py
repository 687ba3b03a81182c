"""Faults, where they strike: in the client's transport and in a proxy, over real connections."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from truss_train_core.remotes import Remote
from truss_train_core.testing import USUAL, Decide, Fault, FaultProxy, Faulty, scripted, seeded

BODY = b"0123456789" * 10


class Echo:
    """A server that answers what it was sent, and knows what it carried out."""

    def __init__(self) -> None:
        self.carried_out: list[str] = []
        echo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if len(body) < int(self.headers.get("Content-Length", 0)):
                    return
                echo.carried_out.append(f"{self.command} {self.path}")
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Host", self.headers["Host"])
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def remote(self) -> Remote:
        url = f"http://127.0.0.1:{self.server.server_port}"
        return Remote(name="echo", api_url=url, web_url=url, key=SecretStr("k"))


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.server.shutdown()
    echo.server.server_close()


@contextmanager
def in_the_transport(remote: Remote, decide: Decide) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=remote.api_url, transport=Faulty(decide)) as client:
        yield client


@contextmanager
def in_a_proxy(remote: Remote, decide: Decide) -> Iterator[httpx.Client]:
    with (
        FaultProxy.started(remote, decide) as proxy,
        httpx.Client(base_url=proxy.remote.api_url, timeout=30, trust_env=False) as client,
    ):
        yield client


PLACES = pytest.mark.parametrize("place", [in_the_transport, in_a_proxy])


@PLACES
@pytest.mark.parametrize("kind", ["cut", "reset", "dark"])
def test_a_call_that_did_not_arrive_is_not_carried_out(echo: Echo, place: Any, kind: Any) -> None:
    with place(echo.remote, scripted(Fault(kind, "POST", "/jobs$"))) as client:
        with pytest.raises(httpx.TransportError):
            client.post("/jobs", content=BODY)
        assert not echo.carried_out
        assert _patiently(client).content == BODY


@PLACES
def test_an_answer_is_lost_after_the_call_was_carried_out(echo: Echo, place: Any) -> None:
    with place(echo.remote, scripted(Fault("lost"))) as client:
        with pytest.raises(httpx.ReadError):
            client.post("/jobs", content=BODY)
        assert echo.carried_out == ["POST /jobs"]


@PLACES
@pytest.mark.parametrize("after", [None, 0, 7])
def test_an_answer_breaks_off(echo: Echo, place: Any, after: int | None) -> None:
    pieces: list[bytes] = []
    with (
        place(echo.remote, scripted(Fault("truncated", after=after))) as client,
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("POST", "/jobs", content=BODY) as answer,
    ):
        pieces.extend(answer.iter_raw())
    heard = b"".join(pieces)
    assert heard == BODY[: 50 if after is None else after]
    assert echo.carried_out == ["POST /jobs"]


@PLACES
def test_a_gateway_answers_before_or_after_the_call_is_carried_out(echo: Echo, place: Any) -> None:
    slow_down = Fault("answered", status=429, body={"retry_after": 3})
    with place(echo.remote, scripted(slow_down, Fault("misreported", status=502))) as client:
        limited = client.post("/jobs", content=BODY)
        assert (limited.status_code, limited.json()) == (429, {"retry_after": 3})
        assert not echo.carried_out
        assert client.post("/jobs", content=BODY).status_code == 502
        assert echo.carried_out == ["POST /jobs"]


@PLACES
def test_a_call_is_delayed(echo: Echo, place: Any) -> None:
    with place(echo.remote, scripted(Fault("delayed", seconds=0.3))) as client:
        began = time.monotonic()
        assert client.post("/jobs", content=BODY).content == BODY
        assert time.monotonic() - began >= 0.3


@PLACES
def test_while_it_is_dark_connections_are_refused(echo: Echo, place: Any) -> None:
    with place(echo.remote, scripted(Fault("dark", seconds=0.5))) as client:
        began = time.monotonic()
        with pytest.raises(httpx.TransportError):
            client.get("/jobs")
        _patiently(client)
        assert time.monotonic() - began >= 0.5


@PLACES
def test_the_caller_can_be_killed_before_it_hears_of_a_fault(echo: Echo, place: Any) -> None:
    seen: list[int] = []
    lost = Fault("lost", then=lambda: seen.append(len(echo.carried_out)))
    with place(echo.remote, scripted(lost)) as client, pytest.raises(httpx.TransportError):
        client.post("/jobs", content=BODY)
    assert seen == [1]


def test_a_script_is_followed_in_order_and_each_fault_happens_once() -> None:
    first, second = Fault("lost", "POST"), Fault("reset", path="/jobs$")
    decide = scripted(first, second)
    assert [decide(n, "POST", "/jobs") for n in (1, 2, 3)] == [first, second, None]
    assert scripted(second)(1, "POST", "/jobs/j1") is None


def test_a_seed_repeats_its_faults_for_any_ids() -> None:
    def decisions(seed: int | str, project: str) -> list[Fault | None]:
        decide = seeded(seed, rate=0.3)
        return [decide(number, "GET", f"/v1/training_projects/{project}/jobs") for number in range(1, 400)]

    assert decisions(7, "p1") == decisions(7, "p2") != decisions(8, "p1")
    met = [fault for fault in decisions(7, "p1") if fault]
    assert 60 < len(met) < 180
    assert {fault.kind for fault in met} == {fault.kind for fault in USUAL}
    assert not any(seeded(7, rate=0.0)(number, "GET", "/") for number in range(100))
    assert all(seeded(7, rate=1.0, faults=(Fault("lost", "POST"),))(n, "GET", "/") is None for n in range(100))


def test_a_proxy_hands_on_what_it_does_not_spoil_and_counts_it(echo: Echo) -> None:
    large = os.urandom(3 << 20)
    with FaultProxy.started(echo.remote, scripted(Fault("lost", path="^/b$"))) as proxy:
        with httpx.Client(base_url=proxy.url, trust_env=False) as client:
            answer = client.post("/a?x=1", content=large)
            assert answer.content == large
            assert answer.headers["X-Host"] == proxy.url.removeprefix("http://")
            assert client.post("/a", content=iter([b"in ", b"pieces"])).status_code == 200
            with pytest.raises(httpx.ReadError):
                client.get("/b")
        assert proxy.calls == ["POST /a", "POST /a", "GET /b"]
        assert [fault.kind for fault in proxy.struck] == ["lost"]
    with pytest.raises(ValueError, match="plain HTTP"):
        FaultProxy(echo.remote.model_copy(update={"api_url": "https://api.example.com"}))


def test_a_call_whose_caller_dies_on_the_way_arrives_all_the_same(echo: Echo) -> None:
    """As it does where a gateway has taken it."""
    with FaultProxy.started(echo.remote, scripted(Fault("delayed", seconds=0.2))) as proxy:
        host, port = proxy.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        deadline = time.monotonic() + 60
        while not echo.carried_out and time.monotonic() < deadline:
            time.sleep(0.01)
    assert echo.carried_out == ["POST /jobs"]


def test_the_proxy_is_a_program_too(echo: Echo) -> None:
    command = [
        sys.executable,
        "-m",
        "truss_train_core.testing.proxy",
        echo.remote.api_url,
        "--seed",
        "1",
        "--rate",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert httpx.post(url, content=json.dumps({"a": 1}), trust_env=False).json() == {"a": 1}
        process.terminate()


def _patiently(client: httpx.Client) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.post("/later", content=BODY)
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
