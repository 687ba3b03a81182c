"""A loopback API and object store for pushes, which throws the archive away: what is left is the cost of the client.

It answers the calls that a push makes, to whichever host they were meant for, so that it also serves as the HTTP_PROXY
of a truss CLI that looks for an API at another port. Run as a program it prints its address, and ends with its input.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PIECE = 1 << 20
PROJECT = {"id": "project", "name": "bench", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
           "team_name": "bench", "latest_job": None}  # fmt: skip
JOB = {
    "id": "job0001", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    "current_status": "TRAINING_JOB_CREATED", "training_project_id": "project", "name": "bench", "node_count": 1,
    "training_project": {"id": "project", "name": "bench"}, "priority": 0, "availability_model": "on_demand",
    "instance_type": {
        "id": "1x2", "name": "1x2", "memory_limit_mib": 2048, "millicpu_limit": 1000, "gpu_count": 0, "gpu_type": None,
        "gpu_memory_limit_mib": 0,
    },
    "user": {"email": "bench@localhost"}, "error_message": None, "checkpoint_sync_status": None,
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for the client to have acknowledged the head

    def answer(self) -> None:
        asked = urlsplit(self.path)
        if asked.path.startswith("/bucket/"):
            self.store(parse_qs(asked.query, keep_blank_values=True))
            return
        self.swallow()
        body = json.dumps(self.api(asked.path)).encode()
        self.say(body, {"Content-Type": "application/json"})

    def api(self, path: str) -> object:
        if path.startswith("/graphql"):
            return {"data": {"teams": [{"id": "team", "name": "bench", "default": True}]}}
        if path.endswith("/blobs/credentials/train"):
            keys = {"aws_access_key_id": "id", "aws_secret_access_key": "secret", "aws_session_token": "token"}
            here = f"http://{self.headers['Host']}"
            return {"s3_bucket": "bucket", "s3_key": "archive.tgz", "creds": {**keys, "endpoint_url": here}}
        if path.endswith("/jobs"):
            return {"training_job": JOB}
        if path.endswith("/teams"):
            return {"teams": [{"id": "team", "name": "bench", "default": True}]}
        return {"training_project": PROJECT} if self.command == "POST" else {"training_projects": [PROJECT]}

    def store(self, query: dict[str, list[str]]) -> None:
        self.swallow()
        if "uploads" in query:
            self.say(b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
        elif self.command == "POST":
            self.say(b'<CompleteMultipartUploadResult><ETag>"all"</ETag></CompleteMultipartUploadResult>')
        else:
            self.say(b"", {"ETag": f'"{query.get("partNumber", ["all"])[0]}"'})

    def swallow(self) -> None:
        room = memoryview(bytearray(PIECE))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                self.take(size + 2, room)
            self.rfile.readline()
        else:
            self.take(int(self.headers.get("Content-Length") or 0), room)

    def take(self, left: int, room: memoryview) -> None:
        while left:
            got = self.rfile.readinto(room[: min(left, PIECE)])
            if not got:
                raise ConnectionResetError
            left -= got

    def say(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None: ...


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
