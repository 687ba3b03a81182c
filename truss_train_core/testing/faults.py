"""Faults between a client and its API: what a network, a proxy or a rate limit does to a pipeline, on demand.

For example, a create that is carried out, but whose answer never arrives:

    with Client(remote, transport=Faulty([Fault("POST", r"/jobs$", lost=True)])) as client:
        client.run(...)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Fault:
    """What happens to the next calls that match.

    Attributes:
        method, path: a method, and a regular expression searched for in the path.
        unreachable: the connection fails before anything is sent.
        lost: the call is carried out, and its answer lost.
        status: answer this status instead of calling; with `body` as JSON.
        times: how many calls this happens to.
    """

    method: str
    path: str
    unreachable: bool = False
    lost: bool = False
    status: int = 503
    body: dict[str, Any] = field(default_factory=dict)
    times: int = 1

    def strikes(self, request: httpx.Request) -> bool:
        """Whether it happens to this call; counts it if so."""
        if self.times < 1 or request.method != self.method or not re.search(self.path, request.url.path):
            return False
        self.times -= 1
        return True


class Faulty(httpx.BaseTransport):
    """A transport that lets each fault happen to the calls it names, in order, and counts all calls.

    Args:
        faults: what happens; the first that strikes a call is the one.
        inner: what carries out the other calls; by default HTTP.

    Attributes:
        calls: "METHOD path" of every call that was made, in order.
    """

    def __init__(self, faults: Sequence[Fault] = (), inner: httpx.BaseTransport | None = None) -> None:
        self._faults = list(faults)
        self._inner = inner or httpx.HTTPTransport()
        self.calls: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        fault = next((fault for fault in self._faults if fault.strikes(request)), None)
        if fault is None:
            return self._inner.handle_request(request)
        if fault.unreachable:
            raise httpx.ConnectError("connection refused (injected)", request=request)
        if fault.lost:
            self._inner.handle_request(request).read()
            raise httpx.ReadError("connection reset (injected)", request=request)
        return httpx.Response(fault.status, json=fault.body, request=request)

    def close(self) -> None:
        self._inner.close()
