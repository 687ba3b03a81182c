"""A command that is killed at random calls."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from truss_train_core import Remote
from truss_train_core.testing import Killings

PIPELINE = """
import sys, httpx
for _ in range(10):
    try:
        httpx.get(sys.argv[1] + "/v1/training_projects")
    except httpx.HTTPError:
        pass
sys.exit(int(sys.argv[2]))
"""


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def server() -> Iterator[Remote]:
    """One that answers nothing in particular."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever).start()
        yield Remote.at(f"http://127.0.0.1:{listening.server_port}", "key", name="server")
        listening.shutdown()


def test_a_command_dies_twice_and_ends(server: Remote) -> None:
    with Killings.started(server, seed=3, calls=5) as killings:
        assert killings.until_it_ends([sys.executable, "-c", PIPELINE, killings.proxy.url, "0"]) == 2
        assert [fault.kind for fault in killings.proxy.struck if fault.kind in ("lost", "reset")][:1] == ["lost"]


def test_a_command_that_fails_is_not_given_again(server: Remote) -> None:
    with Killings.started(server, seed=3, calls=5, rate=0) as killings:
        with pytest.raises(subprocess.CalledProcessError, match="exit status 7"):
            killings.until_it_ends([sys.executable, "-c", PIPELINE, killings.proxy.url, "7"])
        assert len(killings.proxy.calls) <= 20
