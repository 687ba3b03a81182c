"""The process that owns one deployment: it starts the server, waits until it is ready, watches and ends it.

python -m truss_train_core.local.processes.server_supervisor DIRECTORY INTERVALS

building        the checkpoints are linked to where the command expects them, the virtual environment is made
deploying       the process is started
loading_model   it runs, but its readiness path does not answer 2xx yet
active          it has answered once; from now on it is the proxy that notices what it answers
deploy_failed   it ended or stayed silent before that; `failed`: it ended later; `inactive`: it was stopped
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.joblogs import LogWriter
from truss_train_core.local.processes import detached, endings, rank_environment, venvs
from truss_train_core.local.processes.detached import Intervals
from truss_train_core.local.processes.log_capture import LogPump
from truss_train_core.local.processes.process_family import Process, ProcessFamily
from truss_train_core.local.processes.sandbox import Sandbox
from truss_train_core.local.runner import ServerPhase, ServerSpec, ServerState
from truss_train_core.local.statefiles import STOP_FILE

_HOST = "127.0.0.1"
_PROBE_TIMEOUT = 5.0
_STOP_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""


class _Stopped(Exception):
    pass


class _ServerFailed(Exception):
    pass


@dataclass(frozen=True)
class _Ending:
    phase: ServerPhase
    message: str | None = None


class ServerSupervisor:
    """Leads one deployment from its start to its end."""

    def __init__(self, spec: ServerSpec, intervals: Intervals) -> None:
        self._spec = spec
        self._work = spec.directory / "work"
        self._intervals = intervals
        self._log = LogWriter(spec.directory, 0)
        self._pump = LogPump([self._log], flush_after=intervals.flush, secrets=spec.secrets)
        self._family = ProcessFamily(spec.directory)
        self._state = detached.new_state(spec.directory, ServerState, "building")

    def run(self) -> None:
        """Serve until told to end, or until the server ends."""
        self._state.update()
        self._pump.start()
        self._finish(self._lead())

    def abandon(self, error: BaseException) -> None:
        """End everything after an error of the supervisor's own."""
        self._family.kill()
        message = f"The deployment's supervisor failed: {error!r}"
        self._state.update(phase="failed", port=None, error_message=message)
        self._state.conclude()

    def _lead(self) -> _Ending:
        try:
            environment, sandbox = self._build()
            process, port = self._deploy(environment, sandbox)
            self._await_readiness(process, port)
        except _Stopped:
            return _Ending("inactive")
        except _ServerFailed as failure:
            return _Ending("deploy_failed", str(failure))
        except (LocalPlatformError, OSError, ValueError) as error:
            return _Ending("deploy_failed", f"The deployment could not be prepared: {error}")
        self._state.update(phase="active", port=port)
        self._log.notice(f"The model is ready on port {port}.")
        try:
            while True:
                self._watch(process)
        except _Stopped:
            return _Ending("inactive")
        except _ServerFailed as failure:
            return _Ending("failed", str(failure))

    def _build(self) -> tuple[dict[str, str], Sandbox | None]:
        """Put checkpoints and environment in place, and return the variables of the process and its sandbox, if any."""
        spec = self._spec
        for source, path in spec.weights:
            link_tree(source, spec.weights_root / path)
            self._obey()
        venv, home = spec.directory / "venv", spec.directory / "home"
        shutil.rmtree(venv, ignore_errors=True)
        needed = venvs.create(venv, spec.python)
        for directory in (home, self._work):
            directory.mkdir(exist_ok=True)
        temporary = rank_environment.temporary_directory(spec.directory) / "0"
        rank_environment.create_temporary(temporary)
        if not spec.sandboxed:
            environment = rank_environment.process_environment(
                os.environ, venv=venv, home=home, temporary=temporary, user=spec.environment
            )
            return environment, None
        environment = rank_environment.process_environment(
            rank_environment.with_own_caches(os.environ, home),
            venv=venv, home=home, temporary=rank_environment.TEMPORARY, user=spec.environment,
        )  # fmt: skip
        sandbox = Sandbox(
            hidden=spec.directory.parents[1],
            readable=(*needed, *rank_environment.named_files(os.environ), spec.weights_root),
            writable=(*((own, own) for own in (venv, home, self._work)), (temporary, rank_environment.TEMPORARY)),
            work=self._work,
        )
        return environment, sandbox

    def _deploy(self, environment: dict[str, str], sandbox: Sandbox | None) -> tuple[Process, int]:
        self._obey()
        self._state.update(phase="deploying")
        port = _free_port()
        own = {"PORT": str(port)}
        if self._spec.weights:
            own["MODEL_DIR"] = str(self._spec.weights_root / self._spec.weights[0][1])
        self._log.notice(f"$ {self._spec.start_command}")
        process = self._family.start(
            self._spec.start_command,
            cwd=self._work,
            environment={**environment, **own},
            output=self._pump.outputs[0],
            within=sandbox,
        )
        self._state.update(phase="loading_model", port=port)
        return process, port

    def _await_readiness(self, process: Process, port: int) -> None:
        deadline = time.monotonic() + self._spec.readiness_timeout
        while not _answers(port, self._spec.readiness_path):
            self._watch(process)
            if time.monotonic() > deadline:
                raise _ServerFailed(
                    f"The server did not answer GET {self._spec.readiness_path} on port {port} with 2xx within "
                    f"{self._spec.readiness_timeout:g} seconds. Does it listen on $PORT? Its command: "
                    f"{self._spec.start_command}"
                )

    def _watch(self, process: Process) -> None:
        """Look once, and wait until the next look is due.

        Raises:
            _Stopped: the deployment shall end.
            _ServerFailed: its process has ended.
        """
        self._obey()
        code = process.poll()
        if code is not None:
            raise _ServerFailed(f"The server ended with {endings.describe(code)}: {self._spec.start_command}")
        self._family.bury()
        time.sleep(self._intervals.poll)

    def _finish(self, ending: _Ending) -> None:
        self._family.end(_STOP_GRACE)
        self._pump.finish()
        shutil.rmtree(rank_environment.temporary_directory(self._spec.directory), ignore_errors=True)
        message = ending.message
        if message is not None:
            self._log.notice(message, level="ERROR")
            message += endings.quote(self._log.tail())
        else:
            self._log.notice("The deployment was stopped.")
        self._state.update(phase=ending.phase, port=None, error_message=message)
        self._state.conclude()

    def _obey(self) -> None:
        if (self._spec.directory / STOP_FILE).exists():
            raise _Stopped


def link_tree(source: Path, target: Path) -> None:
    """Make the files of a directory appear in another: as hard links, or copies where the file system is another.

    They stay when the source is deleted. What is already there is kept.
    """
    for file in source.rglob("*"):
        place = target / file.relative_to(source)
        if not file.is_file() or place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(file)
        except OSError:
            partial = place.with_name(f".{place.name}.partial")
            shutil.copy2(file, partial)
            partial.replace(place)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=_PROBE_TIMEOUT)
    with closing(connection):
        try:
            connection.request("GET", path)
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False


if __name__ == "__main__":
    detached.lead(ServerSpec, ServerSupervisor)
