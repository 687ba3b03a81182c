"""The processes of one job or deployment: its commands and everything they started, daemons included.

Each command gets a session of its own. SIGTERM goes to the sessions' process groups, SIGKILL to whatever is left of the
family. On Linux the supervisor is the family's subreaper: a process whose parent died becomes its child, so a daemon
cannot leave the family. Elsewhere a daemon that left its session is found only by the mark in its environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import psutil
from pydantic import BaseModel, ConfigDict

from truss_train_core.local.processes import die_with_parent, sandbox
from truss_train_core.local.processes.sandbox import Adopted, Sandbox
from truss_train_core.local.statefiles import read_json, write_json_atomic

MARK = "TRUSS_TRAIN_LOCAL_DIRECTORY"
"""Environment variable of every process of a family: the directory of its job or deployment."""

_RECORD_FILE = "processes.json"
_SHELL = next(
    (path for path in ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash") if Path(path).exists()), "/bin/sh"
)
"""What runs a command line: bash, as in the images that people train in; sh where there is no bash."""
_KILL_LIMIT = 10.0
"""Seconds after which a process that survives SIGKILL (stuck in the kernel) is given up."""


class _Session(BaseModel):
    """A command's process: leader of a session and of a process group. `started` is as `_start_of` tells it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float


class _Record(BaseModel):
    """What a supervisor leaves behind for the case that it is killed."""

    sessions: tuple[_Session, ...] = ()


Process: TypeAlias = subprocess.Popen[bytes] | Adopted
"""A command that runs: `pid`, `poll()`, `returncode`."""


class ProcessFamily:
    """Starts commands, and ends them with all that they started. For one thread, the supervisor's main one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[int, Process] = {}
        self._sessions: dict[int, _Session] = {}
        self._cut_off_at: float | None = None
        _become_subreaper()

    def start(
        self, command: str, *, cwd: Path, environment: Mapping[str, str], output: int, within: Sandbox | None = None
    ) -> Process:
        """Run a command line in a shell, in a session of its own, its output going to the descriptor `output`.

        Raises:
            OSError: it cannot be started.
        """
        shell, environment = (_SHELL, "-c", command), {**environment, MARK: str(self._directory)}
        if within is not None:
            process: Process = sandbox.start(within, shell, cwd=cwd, environment=environment, output=output)
        else:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *shell],
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._running[process.pid] = process
        self._sessions[process.pid] = _Session(pid=process.pid, started=_start_of(process.pid))
        write_json_atomic(self._directory / _RECORD_FILE, _Record(sessions=tuple(self._sessions.values())))
        return process

    def bury(self) -> None:
        """Collect the exit codes of the dead, and forget sessions that are empty: their pids may be given anew.

        Cheap, and to be called regularly while the family lives.
        """
        for pid, process in list(self._running.items()):
            if (code := process.poll()) is not None:
                del self._running[pid]
                if code < 0 and not _group_exists(pid):  # else a shell, and what it ran lives on
                    self._note_cut_off()
        if sys.platform == "linux":
            self._bury_adopted()
        for pid in list(self._sessions):
            if pid not in self._running and not _group_exists(pid):
                del self._sessions[pid]

    def end(self, grace: float) -> float | None:
        """SIGTERM, then SIGKILL for what lives on after `grace` seconds.

        Daemons are not told, as in a container that ends: they are killed when the others are gone.

        Returns:
            when a signal first ended a process in the middle of what it did, in seconds since the epoch; None where
            all ended by themselves.
        """
        self._cut_off_at = None
        self._signal_groups(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while self._sessions and time.monotonic() < deadline:
            time.sleep(0.02)
            self.bury()
        if self._sessions:
            self._note_cut_off()
        cut_off_at = self._cut_off_at
        self.kill()
        return cut_off_at

    def _note_cut_off(self) -> None:
        self._cut_off_at = self._cut_off_at or time.time()

    def kill(self) -> None:
        """SIGKILL to all of the family, again until nothing of it is left."""
        deadline = time.monotonic() + _KILL_LIMIT
        while time.monotonic() < deadline:
            self.bury()
            living = list(self._descendants())
            if not living and not self._sessions:
                return
            self._signal_groups(signal.SIGKILL)
            for process in living:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.02)

    def _signal_groups(self, number: signal.Signals) -> None:
        for pid in self._sessions:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)

    def _descendants(self) -> Iterator[psutil.Process]:
        """Living descendants, without the supervisor's own helpers, which share its session."""
        own_session = os.getsid(0)
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if process.status() != psutil.STATUS_ZOMBIE and os.getsid(process.pid) != own_session:
                    yield process

    def _bury_adopted(self) -> None:
        """Collect dead processes whose parents died before them; never a command, nor a helper someone waits for."""
        own_session = os.getsid(0)
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if dead.si_pid in self._running or os.getsid(dead.si_pid) == own_session:
                    return
                os.waitpid(dead.si_pid, os.WNOHANG)
                if dead.si_code != os.CLD_EXITED:
                    self._note_cut_off()


def kill_leftovers(directory: Path) -> None:
    """End what a killed supervisor left running: its commands' process groups, and whatever carries the job's mark."""
    record = read_json(directory / _RECORD_FILE, _Record) or _Record()
    for session in record.sessions:
        if _is_or_was(session):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(session.pid, signal.SIGKILL)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(directory):
                process.kill()


def _is_or_was(session: _Session) -> bool:
    """Whether the pid is still this session's: its leader lives, or is gone while its group keeps the pid taken."""
    try:
        return _start_of(session.pid) == session.started
    except (psutil.NoSuchProcess, OSError):
        return _group_exists(session.pid)


def _start_of(pid: int) -> float:
    """When a process started: on Linux in ticks since the boot, which stay the same when somebody sets the clock.

    Raises:
        OSError, psutil.NoSuchProcess: there is no such process.
    """
    if sys.platform == "linux":
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    started: float = psutil.Process(pid).create_time()
    return started


def _group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _become_subreaper() -> None:
    if sys.platform == "linux":
        import ctypes

        PR_SET_CHILD_SUBREAPER = 36  # noqa: N806 - the kernel's name
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
