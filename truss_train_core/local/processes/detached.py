"""Supervisors that live on when the server dies: starting one, and noticing that one has died.

A supervisor owns a directory (`ownership.py`) and keeps its state there. One that is gone although its state says that
it has work left was killed; then nothing that it started may run on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import psutil
from pydantic import BaseModel, ConfigDict

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.processes.ownership import claim, is_owned
from truss_train_core.local.processes.process_family import kill_leftovers
from truss_train_core.local.processes.rank_environment import supervisor_environment, temporary_directory
from truss_train_core.local.runner import JobSpec, ServerSpec, StopRequest
from truss_train_core.local.statefiles import (
    SPEC_FILE,
    STATE_FILE,
    STOP_FILE,
    State,
    StateFile,
    read_json,
    write_json_atomic,
)

Spec = TypeVar("Spec", JobSpec, ServerSpec)

_OUTPUT_FILE = "supervisor.log"
_START_LIMIT = 60.0
"""Seconds within which a supervisor must have written a state; else it will not."""
_LONGEST_QUOTE = 2000


class Intervals(BaseModel):
    """How often a supervisor does what, in seconds.

    Attributes:
        poll: looks at the processes, for a request to stop, and whether a server is ready.
        flush: an unfinished line of output waits for its end.
        sync: looks at the checkpoint directories.
        settle: a checkpoint's files must stay the same before they are copied.
        sample: measures CPU, memory and disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    poll: float = 0.1
    flush: float = 1.0
    sync: float = 1.0
    settle: float = 2.0
    sample: float = 5.0


class Supervisor(Protocol):
    """What leads a job or a deployment, in a process of its own."""

    def run(self) -> None:
        """Lead it to its end, and write down how it fares."""

    def abandon(self, error: BaseException) -> None:
        """End everything after an error of the supervisor's own."""


def start(module: str, directory: Path, *arguments: str) -> None:
    """Run `python -m module directory …` as nobody's child: no terminal, no files of ours, none of our keys.

    A shell starts it in the background and ends at once, so that whoever calls has no child to wait for.
    """
    with (directory / _OUTPUT_FILE).open("ab") as output:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", module, str(directory), *arguments],
            cwd="/",
            env=supervisor_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            check=True,
        )


def new_state(directory: Path, make: Callable[..., State], phase: str) -> StateFile[State]:
    """The state file of the supervisor that this process is, in its first phase; `make` is the model of the state."""
    process = psutil.Process()
    started = {"supervisor_pid": process.pid, "supervisor_started": process.create_time()}
    return StateFile(directory, make(phase=phase, updated_at=datetime.now(timezone.utc), **started))


def request_stop(directory: Path, reason: Literal["stopped", "preempted"]) -> None:
    """Ask the supervisor of `directory` to end what it leads. Of two requests the first counts."""
    if not (directory / STOP_FILE).exists():
        write_json_atomic(directory / STOP_FILE, StopRequest(reason=reason))


def lead(spec_type: type[Spec], make: Callable[[Spec, Intervals], Supervisor]) -> None:
    """The main program of a supervisor, with the arguments that `start` gave it.

    Returns at once where another supervisor leads, or led, what is in the directory. SIGTERM means that the machine is
    shutting down, or that somebody ends its processes: to a job the same as losing its node.
    """
    directory, intervals = Path(sys.argv[1]), Intervals.model_validate_json(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)  # ignored in what a shell starts in the background, and inherited
    with claim(directory) as claimed:
        if not claimed or (directory / STATE_FILE).exists():
            return
        spec = read_json(directory / SPEC_FILE, spec_type)
        if spec is None:
            raise LocalPlatformError(f"There is nothing to run in {directory}.")
        supervisor = make(spec, intervals)
        signal.signal(signal.SIGTERM, lambda *_: request_stop(directory, "preempted"))
        try:
            supervisor.run()
        except BaseException as error:
            supervisor.abandon(error)
            raise


def state_of(
    directory: Path,
    unstarted: State,
    *,
    is_over: Callable[[State], bool],
    after_death: Callable[[State, str], Mapping[str, object]],
) -> State:
    """The state that the supervisor of `directory` keeps there.

    If it has died before its work was over, its processes are killed and the state is changed, once and for all.

    Args:
        directory: of a job or deployment.
        unstarted: the state until the supervisor has written one.
        is_over: whether a supervisor that wrote this state has nothing left to do.
        after_death: what changes in the state of one that died; is given the state and the cause of death.

    Raises:
        LocalPlatformError: the state is damaged.
        OSError: there is nothing in `directory`.
    """
    state = read_json(directory / STATE_FILE, type(unstarted))
    if state is None:
        submitted_at = (directory / SPEC_FILE).stat().st_mtime
        if time.time() - submitted_at < _START_LIMIT or is_owned(directory):
            return unstarted.model_copy(update={"updated_at": datetime.fromtimestamp(submitted_at, timezone.utc)})
    elif is_over(state) or is_owned(directory):
        return state
    with claim(directory) as claimed:
        state = read_json(directory / STATE_FILE, type(unstarted)) or unstarted
        if not claimed or is_over(state):
            return state
        kill_leftovers(directory)
        shutil.rmtree(temporary_directory(directory), ignore_errors=True)
        file = StateFile(directory, state)
        file.update(**after_death(state, _cause_of_death(directory, state.supervisor_pid)))
        return file.state


def _cause_of_death(directory: Path, supervisor: int | None) -> str:
    cause = (
        f"The supervisor of {directory} did not start."
        if supervisor is None
        else f"The supervisor of {directory} (process {supervisor}) died: it was killed, or the machine was restarted. "
        "What it had started was ended."
    )
    path = directory / _OUTPUT_FILE
    last_words = path.read_text(errors="replace")[-_LONGEST_QUOTE:].strip() if path.exists() else ""
    return f"{cause} Its last words: {last_words}" if last_words else cause
