"""A proxy between a client and the platform that notes what the client sends."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "transfer-encoding"}


@dataclass(frozen=True)
class Recorded:
    """A call as it came in."""

    method: str
    path: str
    content: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Recorder:
    """A proxy that runs: a forward proxy for those told of it by HTTP_PROXY, a reverse proxy for all others.

    Attributes:
        url: its address.
        calls: what came in so far, in order.
    """

    url: str
    calls: list[Recorded]

    def only(self, method: str, path: str) -> Recorded:
        """The only call of that method whose path matches a pattern."""
        (call,) = (call for call in self.calls if call.method == method and re.search(path, call.path))
        return call


@contextmanager
def recording(target: str) -> Iterator[Recorder]:
    """Pass everything on to `target`, an address, whichever host it was meant for."""
    host = urlsplit(target).netloc
    calls: list[Recorded] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            asked = urlsplit(self.path)
            path = asked.path + (f"?{asked.query}" if asked.query else "")
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            calls.append(Recorded(self.command, asked.path, content))
            upstream = http.client.HTTPConnection(host, timeout=60)
            try:
                upstream.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        upstream.putheader(name, value)
                upstream.endheaders(content)
                self._answer(upstream.getresponse())
            finally:
                upstream.close()

        def _answer(self, response: http.client.HTTPResponse) -> None:
            content = response.read()
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() not in {*_HOP_BY_HOP, "content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Recorder(f"http://127.0.0.1:{server.server_address[1]}", calls)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
