"""A proxy between a client and its server that lets faults happen: real connections, for any process and language.

    with FaultProxy.started(platform.remote, seeded(7)) as proxy, Client(proxy.remote) as client:
        ...

or, from a shell, until it is interrupted:

    python -m truss_train_core.testing.proxy http://localhost:8000 --seed 7 --rate 0.1

It speaks HTTP/1.1, one call per connection, and leaves calls and answers as they are. What a server says of its own
address (presigned URLs, object storage) follows the Host header, and so leads through the proxy too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from pydantic import SecretStr

from truss_train_core.remotes import Remote
from truss_train_core.testing.faults import Decide, Encounters, Fault, never, seeded

_CHUNK = 1 << 16
_LARGEST_HEAD = 1 << 20
_ENDLESS = 1 << 62  # the length of a body that does not say how long it is
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the connection is reset when it is closed

Take = Callable[[bytes], Awaitable[None]]


class FaultProxy:
    """A proxy in front of a remote, on this machine.

    Args:
        remote: which; it speaks plain HTTP.
        decide: what happens to which call.
        port: to listen on; 0 for any that is free.

    Attributes:
        calls: "METHOD path" of every call that arrived, in order.
        struck: the faults that happened, in order.
    """

    def __init__(self, remote: Remote, decide: Decide = never, port: int = 0) -> None:
        server = urlsplit(remote.api_url)
        if server.scheme != "http" or not server.hostname:
            raise ValueError(f"not the address of a server that speaks plain HTTP: {remote.api_url!r}")
        self._remote = remote
        self._server = (server.hostname, server.port or 80)
        self._port = port
        self._encounters = Encounters(decide)
        self._listener: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._darkness: asyncio.Task[None] | None = None
        self.calls = self._encounters.calls
        self.struck = self._encounters.struck

    @classmethod
    @contextmanager
    def started(cls, remote: Remote, decide: Decide = never) -> Iterator[FaultProxy]:
        """A proxy that runs, in a thread of its own."""
        proxy, loop = cls(remote, decide), asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="fault-proxy", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(proxy.open(), loop).result()
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(proxy.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def url(self) -> str:
        """Where it listens, once it does."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def remote(self) -> Remote:
        """The remote, reached through the proxy."""
        return self._remote.model_copy(update={"api_url": self.url, "web_url": self.url})

    async def open(self) -> None:
        """Begin to listen, on the running event loop."""
        self._listener = await asyncio.start_server(
            self._converse, "127.0.0.1", self._port, limit=_LARGEST_HEAD, backlog=1024
        )
        self._port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening for good, and reset every connection."""
        if self._darkness:
            self._darkness.cancel()
        await self._hang_up()

    async def _go_dark(self, seconds: float) -> None:
        await self._hang_up()
        await asyncio.sleep(seconds)
        await self.open()

    async def _hang_up(self) -> None:
        if self._listener:
            self._listener.close()
        conversations = list(self._conversations)
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations)

    async def _converse(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection: one call, its answer, the end."""
        conversation = asyncio.current_task()
        assert conversation
        self._conversations.add(conversation)
        try:
            await self._answer(caller, back)
            back.close()
            await back.wait_closed()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            _reset(back)
        finally:
            self._conversations.discard(conversation)

    async def _answer(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        head = await caller.readuntil(b"\r\n\r\n")
        method, target, _ = head.decode("latin-1").split(" ", 2)
        fault = self._encounters.meet(method, urlsplit(target).path)
        if fault is None or fault.kind == "delayed":
            if fault:
                await asyncio.sleep(fault.seconds)
                fault.then()
            await self._hand_on(head, caller, lambda piece: _write(back, piece))
            return
        heard = await self._befall(fault, head, caller)
        fault.then()
        if fault.kind == "dark" and (self._darkness is None or self._darkness.done()):
            self._darkness = asyncio.create_task(self._go_dark(fault.seconds))
        if not heard:
            raise ConnectionResetError
        await _write(back, heard)

    async def _befall(self, fault: Fault, head: bytes, caller: asyncio.StreamReader) -> bytes:
        """Let the fault happen; what the caller hears, empty for a reset."""
        if fault.is_carried_out:
            answer = bytearray()
            await self._hand_on(head, caller, lambda piece: _append(answer, piece))
            if fault.kind == "truncated":
                start, end, body = bytes(answer).partition(b"\r\n\r\n")
                return start + end + body[: fault.cut_off(len(body))]
        elif fault.kind == "cut":
            await self._hand_on_a_part(head, caller, fault)
        elif fault.kind == "answered":
            await _copy(caller, _nowhere, _length(head))
        return _made_up(fault) if fault.kind in ("answered", "misreported") else b""

    async def _hand_on(self, head: bytes, caller: asyncio.StreamReader, take: Take) -> None:
        """Have a call carried out, and take what the server answers, as it comes."""
        answer, server = await asyncio.open_connection(*self._server, limit=_LARGEST_HEAD)
        sending = asyncio.create_task(_send(head, caller, server))
        try:
            await take(_for_one_call(await answer.readuntil(b"\r\n\r\n")))
            while piece := await answer.read(_CHUNK):
                await take(piece)
        finally:
            sending.cancel()
            server.close()

    async def _hand_on_a_part(self, head: bytes, caller: asyncio.StreamReader, fault: Fault) -> None:
        """Begin a call whose body breaks off. One without a body does not reach the server."""
        size = _length(head)
        if size:
            _, server = await asyncio.open_connection(*self._server)
            await _write(server, _for_one_call(head))
            await _copy(caller, lambda piece: _write(server, piece), min(fault.cut_off(size), size - 1))
            _reset(server)


async def _send(head: bytes, caller: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
    """Send a call as it comes. If its caller goes away in the middle, so do we."""
    try:
        await _write(server, _for_one_call(head))
        await _copy(caller, lambda piece: _write(server, piece), _length(head))
    except EOFError:
        server.transport.abort()
    except OSError:
        pass  # the server takes no more; it may have answered all the same


async def _copy(source: asyncio.StreamReader, take: Take, size: int) -> None:
    while size:
        piece = await source.read(min(size, _CHUNK))
        if not piece:
            raise EOFError
        await take(piece)
        size -= len(piece)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _append(buffer: bytearray, data: bytes) -> None:
    buffer += data


async def _nowhere(data: bytes) -> None:
    pass


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _for_one_call(head: bytes) -> bytes:
    """The head of a call or an answer, on a connection that is for this one alone."""
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def _length(head: bytes) -> int:
    """Bytes of the body that follows this head."""
    if re.search(rb"\r\ntransfer-encoding:", head, re.IGNORECASE):
        return _ENDLESS
    stated = re.search(rb"\r\ncontent-length:\s*(\d+)", head, re.IGNORECASE)
    return int(stated[1]) if stated else 0


def _made_up(fault: Fault) -> bytes:
    body = json.dumps(dict(fault.body)).encode()
    head = (
        f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _serve(arguments: argparse.Namespace) -> None:
    remote = Remote(name="behind", api_url=arguments.to, web_url=arguments.to, key=SecretStr(""))
    proxy = FaultProxy(remote, seeded(arguments.seed, rate=arguments.rate), arguments.port)
    await proxy.open()
    print(proxy.url, flush=True)  # noqa: T201
    await asyncio.Event().wait()


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="A proxy that lets faults happen. Prints its address.")
    parser.add_argument("to", help="the server, http://host:port")
    parser.add_argument("--seed", default="0", help="of the faults")
    parser.add_argument("--rate", type=float, default=0.1, help="how many of all calls meet one, 0 to 1")
    parser.add_argument("--port", type=int, default=0, help="to listen on")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
