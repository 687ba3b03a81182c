"""A stand-in for the Hugging Face Hub, as far as versions of datasets go."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

TOKEN = "good"  # noqa: S105 - that of the stand-in
"""With which the stand-in's private datasets may be read."""


class DatasetHub:
    """A server that answers as the Hub does when it is asked for the commit of a dataset's revision.

        with DatasetHub.started() as hub:
            hub.commits["someone/reviews"] = "commit-1"
            datasets.look_at_hub("hf://someone/reviews", endpoint=hub.url)

    Attributes:
        url: of the server; for HF_ENDPOINT.
        commits: by dataset, or by "dataset@revision" for others than "main".
        private: datasets that only `TOKEN` may read.
        failures: how many requests are answered with 503 before the next is answered.
    """

    def __init__(self) -> None:
        self.url = ""
        self.commits: dict[str, str] = {}
        self.private: set[str] = set()
        self.failures = 0

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[DatasetHub]:
        """Start one on a free port, and end it."""
        hub = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = hub.answer(self.path, self.headers.get("Authorization"))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            hub.url = f"http://127.0.0.1:{server.server_port}"
            yield hub
            server.shutdown()

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, str]]:
        """Status and body of the answer to a request."""
        if self.failures:
            self.failures -= 1
            return 503, {"error": "Service Unavailable"}
        dataset, _, revision = path.removeprefix("/api/datasets/").partition("/revision/")
        commit = self.commits.get(dataset if revision == "main" else f"{dataset}@{revision}")
        if dataset in self.private and authorization != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials"}
        return (404, {"error": "Repository not found"}) if commit is None else (200, {"sha": commit})
