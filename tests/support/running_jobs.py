"""Real jobs in a directory of a test: specs with short intervals, scripts as archives, waits with deadlines."""

from __future__ import annotations

import io
import os
import signal
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from truss_train_core.local import joblogs
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE
from truss_train_core.local.processes.detached import Intervals
from truss_train_core.local.processes.runner import ProcessRunner
from truss_train_core.local.runner import CheckpointIndex, JobSpec, JobState, StoredCheckpoint
from truss_train_core.local.statefiles import read_json

INTERVALS = Intervals(poll=0.02, flush=0.1, sync=0.05, settle=0.2, sample=0.1)

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str, within: float = 30.0) -> T:
    """What `look` returns as soon as that is true; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within:g} s")
        time.sleep(0.01)
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3] if Path("/proc").exists() else "")


def write_tar(path: Path, files: Mapping[str, str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member, content = tarfile.TarInfo(name), textwrap.dedent(text).encode()
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return path


class Jobs:
    """Jobs below one directory, run by a `ProcessRunner` with short intervals."""

    def __init__(self, base: Path, **fields: Any) -> None:
        self.base = base
        self.fields = fields
        self.runner = ProcessRunner(INTERVALS)
        self._specs: list[JobSpec] = []

    def spec(self, *commands: str, files: Mapping[str, str] | None = None, **fields: Any) -> JobSpec:
        number = len(self._specs) + 1
        archive = write_tar(self.base / f"archive-{number}.tgz", files or {})
        spec = JobSpec.model_validate(
            {
                "job_id": f"job{number}",
                "job_name": "digits",
                "project_id": "project1",
                "project_name": "numbers",
                "directory": self.base / "jobs" / f"job{number}",
                "archives": (archive,),
                "start_commands": commands,
                "base_image": "python:3.12",
                "checkpoint_store": self.base / "checkpoints" / f"job{number}",
                "stop_grace": 10.0,
                "python": Path(sys.executable),
                **self.fields,
                **fields,
            }
        )
        self._specs.append(spec)
        return spec

    def submit(self, *commands: str, files: Mapping[str, str] | None = None, **fields: Any) -> JobSpec:
        spec = self.spec(*commands, files=files, **fields)
        self.runner.submit(spec)
        return spec

    def state(self, spec: JobSpec) -> JobState:
        return self.runner.status(spec.directory)

    def ended(self, spec: JobSpec, within: float = 60.0) -> JobState:
        """The final state, when the checkpoints are copied too."""

        def look() -> JobState | None:
            state = self.state(spec)
            return state if state.is_final and not state.syncing else None

        return wait_for(look, f"end of {spec.job_id}: {self.log(spec)}", within)

    def log(self, spec: JobSpec) -> str:
        return "".join(line.message for line in joblogs.read_window(spec.directory, limit=10_000))

    def printed(self, spec: JobSpec, text: str) -> None:
        """Wait until the job's log contains `text`."""
        wait_for(lambda: text in self.log(spec) or self.state(spec).is_final, f"{text!r} in the log")
        assert text in self.log(spec)

    def checkpoints(self, spec: JobSpec) -> dict[str, StoredCheckpoint]:
        index = read_json(spec.checkpoint_store / INDEX_FILE, CheckpointIndex) or CheckpointIndex()
        return {checkpoint.name: checkpoint for checkpoint in index.checkpoints}

    def clean_up(self) -> None:
        """Leave nothing running, whatever a test did."""
        for spec in self._specs:
            if not (spec.directory / "supervisor.lock").exists():
                continue
            state = self.state(spec)
            if not state.is_final and state.supervisor_pid:
                os.kill(state.supervisor_pid, signal.SIGKILL)
            self.ended(spec)
