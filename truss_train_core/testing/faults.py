"""Faults between a client and its API: what a network, a gateway or a rate limit does to a pipeline, on demand.

A `Fault` says what happens to a call, and a `Decide` to which: as in a script, or by a seed. They strike in two places:
in the client's own process, where `Faulty` is its transport, and between any client and a server, in `FaultProxy`.

For example, a create that is carried out, but whose answer never arrives:

    lost = scripted(Fault("lost", "POST", r"/jobs$"))
    with Client(remote, transport=Faulty(lost)) as client:
        client.run(...)
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import httpx

Kind = Literal["delayed", "cut", "reset", "lost", "truncated", "answered", "misreported", "dark"]
"""What happens to a call:

    delayed      it is carried out after `seconds`
    cut          its body breaks off, and the connection is reset; it is not carried out
    reset        the connection is reset; it is not carried out
    lost         it is carried out, and the connection reset instead of an answer
    truncated    it is carried out, and the body of the answer breaks off
    answered     it is answered with `status` and `body`; it is not carried out
    misreported  it is carried out, and answered with `status` and `body`, as by a gateway that ran out of patience
    dark         nobody is there for `seconds`; it is not carried out, and connections are refused
"""
_CARRIED_OUT = ("delayed", "lost", "truncated", "misreported")


@dataclass(frozen=True)
class Fault:
    """What happens to a call.

    Attributes:
        kind: see `Kind`.
        method, path: of the calls it can happen to: a method, and a regular expression searched for in the path.
        status, body: of the answer; the body is sent as JSON.
        seconds: how long it takes.
        after: bytes of a body that breaks off which still pass; None for half of them.
        then: called when it has happened, before the caller hears of it: to kill the caller, for example.
    """

    kind: Kind
    method: str = ""
    path: str = ""
    status: int = 503
    body: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    after: int | None = None
    then: Callable[[], object] = field(default=lambda: None, compare=False, repr=False)

    def fits(self, method: str, path: str) -> bool:
        """Whether it can happen to this call."""
        return self.method in ("", method) and re.search(self.path, path) is not None

    @property
    def is_carried_out(self) -> bool:
        """Whether the server carries the call out all the same."""
        return self.kind in _CARRIED_OUT

    def cut_off(self, size: int) -> int:
        """How many bytes of a body of this size pass."""
        return size // 2 if self.after is None else min(self.after, size)


Decide: TypeAlias = Callable[[int, str, str], Fault | None]
"""What happens to the call of this number, from 1, with this method and path; None: nothing."""


def never(number: int, method: str, path: str) -> None:
    """The decision that no fault ever happens."""


def scripted(*faults: Fault) -> Decide:
    """Each fault happens once, to the first call that it fits; to one call, only the first of them."""
    left = list(faults)

    def decide(number: int, method: str, path: str) -> Fault | None:
        fault = next((each for each in left if each.fits(method, path)), None)
        if fault:
            left.remove(fault)
        return fault

    return decide


_UPSET = {"message": "injected"}
USUAL = (
    Fault("delayed", seconds=0.3),
    Fault("cut"),
    Fault("reset"),
    Fault("lost"),
    Fault("truncated"),
    Fault("answered", status=429, body={**_UPSET, "retry_after": 1.0}),
    Fault("answered", status=500, body=_UPSET),
    Fault("answered", status=502, body=_UPSET),
    Fault("answered", status=503, body=_UPSET),
    Fault("misreported", status=500, body=_UPSET),
    Fault("misreported", status=502, body=_UPSET),
    Fault("dark", seconds=1.0),
)
"""What happens between data centres."""


def seeded(seed: int | str, *, rate: float = 0.1, faults: tuple[Fault, ...] = USUAL) -> Decide:
    """Faults that look random, and are the same for the same seed.

    The number of a call and the seed decide whether a fault happens, and which of those that fit its method and path.
    So a client that makes the same calls meets the same faults, whatever ids its server gives out.

    Args:
        seed: of this sequence.
        rate: how many of all calls a fault happens to, from 0 to 1.
        faults: what can happen.
    """

    def decide(number: int, method: str, path: str) -> Fault | None:
        chance = random.Random(f"{seed}/{number}")  # noqa: S311 (to be repeated, not secret)
        if chance.random() >= rate:
            return None
        fitting = [fault for fault in faults if fault.fits(method, path)]
        return chance.choice(fitting) if fitting else None

    return decide


class Encounters:
    """Which calls came by, and what happened to them.

    Attributes:
        calls: "METHOD path" of every call, in order.
        struck: the faults that happened, in order.
    """

    def __init__(self, decide: Decide) -> None:
        self.calls: list[str] = []
        self.struck: list[Fault] = []
        self._decide = decide
        self._number = 0
        self._lock = threading.Lock()

    def meet(self, method: str, path: str) -> Fault | None:
        """What happens to this call, which is the next."""
        with self._lock:
            self._number += 1
            self.calls.append(f"{method} {path}")
            fault = self._decide(self._number, method, path)
            self.struck += [fault] if fault else []
            return fault


class Faulty(httpx.BaseTransport):
    """A transport to which faults happen, within the process of a `Client`; for an `AsyncClient` there is the proxy.

    Args:
        decide: what happens to which call.
        inner: what carries calls out; by default HTTP.

    Attributes:
        calls: "METHOD path" of every call that was made, in order.
        struck: the faults that happened, in order.
    """

    def __init__(self, decide: Decide = never, inner: httpx.BaseTransport | None = None) -> None:
        self._encounters = Encounters(decide)
        self._inner = inner or httpx.HTTPTransport()
        self._dark_until = 0.0
        self.calls = self._encounters.calls
        self.struck = self._encounters.struck

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if time.monotonic() < self._dark_until:
            raise httpx.ConnectError("connection refused (injected)", request=request)
        fault = self._encounters.meet(request.method, request.url.path)
        if fault is None:
            return self._inner.handle_request(request)
        if fault.kind == "delayed":
            time.sleep(fault.seconds)
        answer = self._inner.handle_request(request) if fault.is_carried_out else None
        if answer:
            answer.read()
        fault.then()
        return self._heard(fault, request, answer)

    def close(self) -> None:
        self._inner.close()

    def _heard(self, fault: Fault, request: httpx.Request, answer: httpx.Response | None) -> httpx.Response:
        """What the client hears of a call after the fault."""
        if fault.kind == "dark":
            self._dark_until = time.monotonic() + fault.seconds
            raise httpx.ConnectError("connection refused (injected)", request=request)
        if fault.kind in ("answered", "misreported"):
            return httpx.Response(fault.status, json=dict(fault.body), request=request)
        if answer and fault.kind == "delayed":
            return answer
        if answer and fault.kind == "truncated":
            part = answer.content[: fault.cut_off(len(answer.content))]
            return httpx.Response(answer.status_code, stream=_BreaksOff(part), request=request)
        raise httpx.ReadError("connection reset (injected)", request=request)


class _BreaksOff(httpx.SyncByteStream):
    def __init__(self, part: bytes) -> None:
        self._part = part

    def __iter__(self) -> Iterator[bytes]:
        yield self._part
        raise httpx.RemoteProtocolError("the answer broke off (injected)")
