"""Run the local platform: hold the data directory, bind the port, serve until told to stop.

Jobs and deployments do not depend on the server: they go on when it stops, by a signal or for good, and the next
server of the same data directory picks them up.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import uvicorn
from sqlalchemy import select
from sqlalchemy.exc import DatabaseError
from starlette.applications import Starlette

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.pages.feeds import Feeds
from truss_train_core.local.processes import sandbox, serving
from truss_train_core.local.processes.runner import ProcessRunner
from truss_train_core.local.runner import Runner
from truss_train_core.local.server.app import advance, create_app
from truss_train_core.local.server.data_dir import DataDir, held
from truss_train_core.local.server.database import Database, Deployment, Job, Team
from truss_train_core.local.server.deployments import AT_REST, rest
from truss_train_core.local.server.lifecycle import UNFINISHED, stop
from truss_train_core.local.server.platform import Platform, Serving
from truss_train_core.local.server.presign import Presigner
from truss_train_core.remotes import write_remote

logger = logging.getLogger(__name__)

DEFAULT_PORT = 8000
"""The only port at which the truss CLI looks for an API on this machine."""
DEFAULT_DATA_DIR = Path("~/.truss-train")
TEAM = "local"
"""The name of the team that is there from the start."""
_BACKLOG = 2048
_LAST_COPIES = 30.0  # seconds after the last process was killed
_LAST_REQUESTS = 5  # seconds that open requests are given when the server stops


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    Attributes:
        port: 0 for any that is free.
        host: address to bind. The key is all that stands between the network and commands on this machine, so it is
            this machine's own unless there is good reason.
        allowed_hosts: names at which clients may reach it, beside this machine's own and `host`.
        data_dir: everything the platform keeps; made where there is none.
        api_key: what clients send; None for the one of last time, or a new one.
        capacity: sizes of pools (`scheduler.parse_capacity`); see `scheduler` for those of which nothing is said.
        stop_grace: seconds between SIGTERM and SIGKILL for jobs.
        python: the interpreter whose packages jobs and deployments see.
        remote: section of `.trussrc` to write the address and key into; None to leave that file alone.
        sandbox: whether commands of jobs and deployments run in a sandbox (`processes.sandbox`); None: where they can.
        stop_all_on_exit: end all jobs and deployments with the server, for demonstrations and tests.
    """

    port: int = DEFAULT_PORT
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    data_dir: Path = DEFAULT_DATA_DIR
    api_key: str | None = field(default=None, repr=False)
    capacity: Mapping[str, int] = field(default_factory=dict)
    stop_grace: float = 30.0
    python: Path = Path(sys.executable)
    remote: str | None = "local"
    sandbox: bool | None = None
    stop_all_on_exit: bool = False


@dataclass(frozen=True)
class Ready:
    """What there is to say once requests are answered.

    Attributes:
        url: where.
        key_file: holds the key that clients send.
        sign_in: a link to the pages, which signs one browser in.
        unsandboxed: why jobs and deployments do not run in a sandbox; None where they do.
    """

    url: str
    key_file: Path
    sign_in: str = field(repr=False)
    unsandboxed: str | None


def serve(options: ServeOptions, on_ready: Callable[[Ready], None] = lambda ready: None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        options: how.
        on_ready: called once, when requests are answered.

    Raises:
        LocalPlatformError: the port or the data directory is in use, the data are of a newer release, the disk is full,
            or a sandbox is asked for that there cannot be. Nothing was started.
        RemoteError: `.trussrc` cannot be written.
    """
    unsandboxed = why_unsandboxed(options)
    options = replace(options, sandbox=unsandboxed is None)
    with held(options.data_dir) as data, _bound(options) as listener, opened(data, options) as platform:
        port = listener.getsockname()[1]
        url = (
            f"http://localhost:{port}"
            if options.host in ("127.0.0.1", "localhost")
            else f"http://{options.host}:{port}"
        )
        if options.remote:
            write_remote(options.remote, url=url, api_key=platform.api_key)
        app = create_app(platform, at_the_end=stop_all) if options.stop_all_on_exit else create_app(platform)
        ready = Ready(url, data.key_file, app.state.pages.access.link(url), unsandboxed)
        server = _Server(app, partial(on_ready, ready))
        with _signals_end_it_well():
            asyncio.run(server.serve(sockets=[listener]))


def why_unsandboxed(options: ServeOptions) -> str | None:
    """Why commands will not run in a sandbox; None where they will.

    Raises:
        LocalPlatformError: a sandbox is asked for, and there can be none.
    """
    if options.sandbox is False:
        return "--no-sandbox was given"
    reason = sandbox.why_not()
    if reason and options.sandbox:
        raise LocalPlatformError(f"Jobs cannot run in a sandbox: {reason}.", hint="Leave --sandbox out.")
    return reason


@contextmanager
def opened(
    data: DataDir, options: ServeOptions, runner: Runner | None = None, server: Serving = serving
) -> Iterator[Platform]:
    """The platform of a data directory that is held. What runs jobs may be another than processes.

    Raises:
        LocalPlatformError: the database cannot be read or written.
    """
    try:
        database = Database(data.database)
        _add_team(database)
    except DatabaseError as error:
        raise LocalPlatformError(
            f"{data.database} cannot be used: {error.orig}.", hint="Free some space, or use another --data-dir."
        ) from error
    try:
        yield Platform(
            data=data,
            database=database,
            runner=runner or ProcessRunner(),
            serving=server,
            api_key=data.api_key(options.api_key),
            presigner=Presigner(data.presign_key()),
            python=options.python,
            capacity=options.capacity,
            stop_grace=options.stop_grace,
            names=(options.host, *options.allowed_hosts),
            sandboxed=bool(options.sandbox),
        )
    finally:
        database.close()


def stop_all(platform: Platform) -> None:
    """End all jobs and deployments, and wait until they have ended."""
    with platform.lifecycle, platform.database.writing() as session:
        for job in session.scalars(select(Job).where(Job.status.in_(UNFINISHED))):
            stop(platform, job)
        for deployment in session.scalars(select(Deployment)):
            rest(platform, deployment)
    deadline = time.monotonic() + platform.stop_grace + _LAST_COPIES
    while _left(platform) and time.monotonic() < deadline:
        advance(platform)
        time.sleep(0.05)
    if left := _left(platform):
        logger.warning("still running: %s", ", ".join(left))


def _left(platform: Platform) -> list[str]:
    with platform.database.reading() as session:
        jobs = session.scalars(select(Job.id).where(Job.status.in_(UNFINISHED)))
        deployments = session.scalars(select(Deployment.id).where(Deployment.status.not_in(AT_REST)))
        return [*jobs, *deployments]


def _add_team(database: Database) -> None:
    with database.writing() as session:
        if session.scalar(select(Team.id).where(Team.is_default)) is None:
            session.add(Team(name=TEAM, created_at=time.time(), is_default=True))


@contextmanager
def _bound(options: ServeOptions) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it, each answer takes 40 ms more.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((options.host, options.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise LocalPlatformError(
                f"Port {options.port} of {options.host} is in use."
                if taken
                else f"{options.host}:{options.port} cannot be served: {error.strerror or error}.",
                hint="Stop what uses it, or choose another --port." if taken else None,
            ) from error
        yield listener


class _Server(uvicorn.Server):
    """uvicorn, with a word when it is ready, and without its logging."""

    def __init__(self, app: Starlette, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="on", server_header=False,
            timeout_graceful_shutdown=_LAST_REQUESTS,
        )  # fmt: skip
        super().__init__(config)
        self._feeds: Feeds = app.state.pages.feeds
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feeds.close()  # else open pages would keep the server for as long as open requests may take
        await super().shutdown(sockets)


@contextmanager
def _signals_end_it_well() -> Iterator[None]:
    """Uvicorn raises the signal that ended it once more when it is done; here that is the end of a good run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
