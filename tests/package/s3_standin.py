"""The part of S3 that an upload needs, over real HTTP, with faults on demand.

Serves PUT of an object and of parts, and the start, completion and abort of a multipart upload, path-style. What
was asked is kept for tests to look at. Run as a program it prints its port and keeps no bodies, for the benchmarks.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def is_part(self) -> bool:
        return self.method == "PUT" and "partNumber" in self.query


@dataclass
class S3StandIn:
    """A server on a port of its own.

    Attributes:
        objects: bodies of finished objects by "bucket/key".
        open_uploads: parts by number of multipart uploads neither completed nor aborted, by upload id.
        requests: everything that was asked, in order of arrival.
        fault: asked about each request after its body was read; returns a status and a body to answer instead, status
            0 for a connection closed without an answer, or None.
    """

    keep_bodies: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    open_uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    fault: Callable[[Request], tuple[int, str] | None] = lambda request: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> S3StandIn:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that goes away is part of the tests
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: Request, body: bytes) -> tuple[int, dict[str, str], str]:
        name, upload = request.path.lstrip("/"), request.query.get("uploadId", "")
        if request.method == "POST" and "uploads" in request.query:
            upload = f"upload-{len(self.requests)}"
            self.open_uploads[upload] = {}
            return (
                200,
                {},
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>",
            )
        if upload and upload not in self.open_uploads:
            return 404, {}, "<Error><Code>NoSuchUpload</Code></Error>"
        if request.is_part:
            self.open_uploads[upload][int(request.query["partNumber"])] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, ""
        if request.method == "DELETE":
            del self.open_uploads[upload]
            return 204, {}, ""
        if request.method == "POST":
            parts = self.open_uploads.pop(upload)
            numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
            self.objects[name] = b"".join(parts[n] for n in numbers)
            return 200, {}, '<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>'
        self.objects[name] = body
        return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, ""

    def _handler(standin) -> type[BaseHTTPRequestHandler]:  # noqa: N805 (self is the handler's)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.read_body()
                parts = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, parts.path, query, headers)
                with standin._lock:
                    standin.requests.append(request)
                    fault = standin.fault(request)
                    status, headers, text = (fault[0], {}, fault[1]) if fault else standin.answer(request, body)
                if status == 0:
                    self.close_connection = True
                    return
                payload = text.encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

            def read_body(self) -> bytes:
                left = int(self.headers.get("Content-Length") or 0)
                if standin.keep_bodies or self.command != "PUT":
                    return self.rfile.read(left)
                while left:
                    left -= len(self.rfile.read(min(left, 1 << 16)))
                return b""

            def log_message(self, *args: object) -> None: ...

        return Handler


if __name__ == "__main__":
    server = S3StandIn(keep_bodies=False).start()
    print(server.url, flush=True)  # noqa: T201
    sys.stdin.read()
