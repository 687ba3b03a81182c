"""The runner that runs jobs as processes of this machine: each job has a supervisor process that owns it.

The server talks to a supervisor through files only, and needs no memory of what it started; see `runner.py` for the
files and `supervisor.py` for what happens in there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from truss_train_core.local import joblogs
from truss_train_core.local.processes import detached, supervisor
from truss_train_core.local.processes.detached import Intervals
from truss_train_core.local.runner import JobSpec, JobState
from truss_train_core.local.statefiles import SPEC_FILE, STATE_FILE, write_json_atomic


class ProcessRunner:
    """Implements `runner.Runner` with processes. It remembers nothing, so any number of them may be used at once."""

    def __init__(self, intervals: Intervals | None = None) -> None:
        self._intervals = intervals or Intervals()

    def submit(self, spec: JobSpec) -> None:
        """Start the job; what was started before, even long ago, is left alone.

        Raises:
            OSError: the job's directory cannot be written. Nothing runs, and submitting again is safe.
        """
        if (spec.directory / STATE_FILE).exists():
            return
        spec.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json_atomic(spec.directory / SPEC_FILE, spec)
        detached.start(supervisor.__name__, spec.directory, self._intervals.model_dump_json())

    def stop(self, directory: Path, reason: Literal["stopped", "preempted"]) -> None:
        """Ask the job to end. Of two requests the first counts; one to a job that has ended changes nothing."""
        detached.request_stop(directory, reason)

    def status(self, directory: Path) -> JobState:
        """The job's state. If its supervisor has died, what it left running is killed and the job has failed.

        Raises:
            LocalPlatformError: the state is damaged.
            OSError: there is no job in `directory`.
        """
        unstarted = JobState(phase="submitted", updated_at=datetime.now(timezone.utc))
        return detached.state_of(directory, unstarted, is_over=_is_over, after_death=_after_death)

    def log_path(self, directory: Path, rank: int) -> Path:
        """Where the log of one rank is written."""
        return joblogs.path_of(directory, rank)


def _is_over(state: JobState) -> bool:
    return state.is_final and not state.syncing


def _after_death(state: JobState, cause: str) -> Mapping[str, object]:
    if state.is_final:
        return {"syncing": False, "sync_error": f"{cause} Not all checkpoints were copied."}
    return {"phase": "failed", "syncing": False, "error_message": f"{cause} Checkpoints copied before are kept."}
