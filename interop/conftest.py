"""The truss CLI as a user runs it, and the platform that it talks to.

truss takes `remote_url = http://localhost:8000`, which the platform writes into `.trussrc`, to mean an API at
http://api.localhost:8000, and no other address to mean an API on this machine. Where that name does not resolve (glibc
leaves it to the hosts file) or the port is taken, HTTP_PROXY tells truss to ask a proxy of ours instead.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from recorder import recording

from truss_train_core import Remote, resolve_remote
from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform

PROJECT = Path(__file__).parent / "project"
CAPACITY = {"CPU": 4, "H100": 0}
"""No H100, so that a job which wants one waits for good."""
URL, API_HOST, PORT = "http://localhost:8000", "api.localhost", 8000
NOWHERE = "http://127.0.0.1:9"
T = TypeVar("T")


@dataclass(frozen=True)
class Truss:
    """`truss train`, unmodified, in a process of its own, with no terminal to ask questions on."""

    environment: dict[str, str]
    directory: Path

    def __call__(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a command to its end. Returns what it said."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment, cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == exit_code, f"{arguments} ended with {done.returncode}:\n{done.stdout}"
        assert "Traceback" not in done.stdout
        return done.stdout

    def watch(self, *arguments: str, until: str) -> str:
        """Run a command that draws on a terminal without end, and interrupt it when it has shown something."""
        ours, its = os.openpty()
        process = subprocess.Popen(
            self.command(*arguments), env=self.environment, cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=its, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(its)
        shown = ""
        try:
            while until not in shown:
                shown += os.read(ours, 4096).decode(errors="replace")
        except OSError as error:
            raise AssertionError(f"{arguments} ended without {until!r}:\n{shown}") from error
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            os.close(ours)
        return shown

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).with_name("truss")), "train", *arguments, "--remote", "local"]


def said(output: str, pattern: str) -> str:
    """The first group, or all, of a pattern in a command's output, in which lines may end anywhere."""
    match = re.search(pattern.replace(" ", r"\s+"), output, re.DOTALL)
    assert match, f"{pattern!r} is not in:\n{output}"
    return match[1] if match.groups() else match[0]


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 60) -> T:
    """Look until there is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


@contextmanager
def http(remote: Remote) -> Iterator[httpx.Client]:
    """Plain calls, to see what a command did."""
    headers = {"Authorization": remote.authorization}
    with httpx.Client(base_url=remote.api_url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def truss_in(home: Path, **more: str) -> Truss:
    """A truss with a home of its own, and no way to any server but the platform."""
    (home / "tmp").mkdir()
    own = {
        "HOME": str(home), "TMPDIR": str(home / "tmp"), "COLUMNS": "200", "HTTPS_PROXY": NOWHERE,
        "PYTHONWARNINGS": "ignore", "TRUSS_NO_UPDATE_CHECK": "1", "USER_TRUSSRC_PATH": str(home / ".trussrc"),
    }  # fmt: skip
    return Truss({**os.environ, **own, **more}, home)


def truss_through(proxy: str, remote: Remote, home: Path) -> Truss:
    """A truss that reaches the platform through a proxy."""
    write_remote("local", url=URL, api_key=remote.key.get_secret_value(), path=home / ".trussrc")
    return truss_in(home, HTTP_PROXY=proxy)


def obstacle() -> str | None:
    """Why truss cannot reach a platform on this machine directly."""
    try:
        socket.getaddrinfo(API_HOST, PORT)
        with socket.create_server(("127.0.0.1", PORT)):
            return None
    except OSError as error:
        return f"{API_HOST}:{PORT}: {error.strerror}"


def pytest_report_header() -> str:
    why_not = obstacle()
    return f"truss: through a proxy, since {why_not}" if why_not else "truss: directly"


@pytest.fixture(scope="session", autouse=True)
def nothing_of_the_users() -> Iterator[None]:
    """No proxies, keys and colours from outside."""
    settings = re.compile("(AWS|BASETEN|TRUSS|USER_TRUSSRC|XDG)_|(HTTPS?|ALL|NO)_PROXY$|FORCE_COLOR", re.IGNORECASE)
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(settings.match, list(os.environ)):
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def truss_and_remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Truss, Remote]]:
    home, data_dir = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("platform")
    if obstacle():
        with (
            LocalPlatform.started(data_dir, capacity=CAPACITY, stop_grace=1) as platform,
            recording(platform.remote.api_url) as proxy,
        ):
            yield truss_through(proxy.url, platform.remote, home), platform.remote
    else:
        truss = truss_in(home)
        with _on_its_port(data_dir, truss.environment):
            yield truss, resolve_remote("local", environ=truss.environment)


@contextmanager
def _on_its_port(data_dir: Path, environment: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "truss_train_core.local", "--port", str(PORT), "--remote", "local"]
    command += ["--data-dir", str(data_dir), "--stop-all-on-exit", "--stop-grace", "1"]
    command += ["--capacity", ",".join(f"{kind}={count}" for kind, count in CAPACITY.items())]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline(), "the platform did not start"
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def truss(truss_and_remote: tuple[Truss, Remote]) -> Truss:
    return truss_and_remote[0]


@pytest.fixture(scope="session")
def remote(truss_and_remote: tuple[Truss, Remote]) -> Remote:
    """The platform of `truss`."""
    return truss_and_remote[1]
