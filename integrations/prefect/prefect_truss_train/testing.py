"""A Prefect server for the time of a test or a demonstration: its own process, port and directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TIME_TO_START = 180.0
"""Seconds; a fresh one makes its database first."""
TIME_TO_SEND = 10.0
"""Seconds that a server waits for the last log lines and events, before it is ended."""


@dataclass(frozen=True)
class PrefectServer:
    """A server that runs.

    Attributes:
        url: of its pages; its API is below `/api`.
        home: what it keeps.
    """

    url: str
    home: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process has to find in its environment to use this server."""
        return _environment(self.url, self.home)

    @classmethod
    @contextmanager
    def started(cls, home: Path, *, port: int | None = None) -> Iterator[PrefectServer]:
        """Start a server and end it, after what this process still has to send to it: log lines and events.

        Args:
            home: made if it is not there.
            port: None for a free one.

        Raises:
            RuntimeError: it did not start; with the end of what it said.
        """
        home.mkdir(parents=True, exist_ok=True)
        port = port or free_port()
        server = cls(f"http://127.0.0.1:{port}", home)
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        log = home / "server.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **server.environment}, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            _wait_until_healthy(server, process, log)
            yield server
        finally:
            _send_the_rest()
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(url: str, home: Path) -> dict[str, str]:
    return {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _send_the_rest() -> None:
    """Prefect sends log lines and events from threads, and complains of those that find no server any more."""
    if "prefect" in sys.modules:  # which reads its settings when it is imported, so that it is not imported here
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        with ThreadPoolExecutor() as beside:  # an event loop that runs here would get something to await
            for worker in (APILogWorker, EventsWorker):
                beside.submit(worker.drain_all, timeout=TIME_TO_SEND)


def _wait_until_healthy(server: PrefectServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + TIME_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/api/health", timeout=5):  # noqa: S310 (our own server)
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The Prefect server did not start: {log.read_text()[-2000:]}")
