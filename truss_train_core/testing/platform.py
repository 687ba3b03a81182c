"""A local platform for the time of a test, in a process of its own, on a free port, in a directory of its own.

As a fixture:

    @pytest.fixture(scope="session")
    def platform(tmp_path_factory):
        with LocalPlatform.started(tmp_path_factory.mktemp("platform")) as platform:
            yield platform

    def test_my_pipeline(platform):
        with Client(platform.remote) as client:
            ...
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pydantic import SecretStr

from truss_train_core.api import endpoints
from truss_train_core.api.client import Client
from truss_train_core.api.models import TrainingJob
from truss_train_core.errors import LocalPlatformError, Rejected
from truss_train_core.remotes import Remote

_LAST_WORDS = 2000  # characters of the server's output that an error repeats
_TIME_TO_STOP = 60.0  # seconds
_LOOK_EVERY = 0.3  # seconds


@dataclass(frozen=True)
class LocalPlatform:
    """A platform that runs.

    Attributes:
        remote: where it is, and the key; what `Client` and `push` take.
        data_dir: what it keeps.
        process: the server.
    """

    remote: Remote
    data_dir: Path
    process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def started(
        cls,
        data_dir: Path,
        *,
        capacity: Mapping[str, int] | None = None,
        stop_grace: float = 5.0,
        python: Path | None = None,
        sandbox: bool = False,
    ) -> Iterator[LocalPlatform]:
        """Start a platform, and end it with all its jobs and deployments.

        Args:
            data_dir: made if it is not there; a directory that was used before is picked up again.
            capacity: GPUs by type, and "CPU"; None for the platform's own idea.
            stop_grace: seconds between SIGTERM and SIGKILL for jobs.
            python: the interpreter whose packages jobs see; None for this one.
            sandbox: whether jobs run in a sandbox, which needs bubblewrap. Without one a test runs alike on every
                machine, and its jobs see its files.

        Raises:
            LocalPlatformError: it did not start; with what it said.
        """
        command = [sys.executable, "-m", "truss_train_core.local", "--port", "0", "--stop-all-on-exit"]
        command += ["--data-dir", str(data_dir), "--stop-grace", str(stop_grace)]
        command.append("--sandbox" if sandbox else "--no-sandbox")
        if capacity:
            command += ["--capacity", ",".join(f"{kind}={count}" for kind, count in capacity.items())]
        if python:
            command += ["--python", str(python)]
        with TemporaryFile("w+") as said:  # a pipe that nobody reads would be full one day, and the platform wait
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
            try:
                yield cls(_remote(process, said), data_dir, process)
            finally:
                process.terminate()
                try:
                    process.communicate(timeout=_TIME_TO_STOP)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()

    def preempt(self, job_id: str) -> None:
        """Take a spot job that runs away, as a reclaim of its machines would: SIGTERM, a grace period, SIGKILL."""
        with Client(self.remote) as client:
            client.send(endpoints.preempt_job(job_id))

    @contextmanager
    def reclaiming(self, project: str, times: int) -> Iterator[list[str]]:
        """Take a project's spot jobs away meanwhile, each once it has a complete checkpoint.

        Args:
            project: by name.
            times: so many jobs, and then no more.

        Yields:
            The ids of the jobs that were taken away so far.
        """
        taken: list[str] = []
        enough = threading.Event()
        thread = threading.Thread(target=self._reclaim, args=(project, times, taken, enough), daemon=True)
        thread.start()
        try:
            yield taken
        finally:
            enough.set()
            thread.join()

    def _reclaim(self, project: str, times: int, taken: list[str], enough: threading.Event) -> None:
        with Client(self.remote) as client:
            while len(taken) < times and not enough.wait(_LOOK_EVERY):
                for job in client.send(endpoints.active_jobs()).training_jobs:
                    of_interest = job.training_project.name == project and job.id not in taken
                    if of_interest and job.availability_model == "spot" and _has_checkpoint(client, job):
                        with contextlib.suppress(Rejected):  # it has ended at this very moment
                            client.send(endpoints.preempt_job(job.id))
                            taken.append(job.id)

    def sign_in_link(self) -> str:
        """A link to the platform's pages that signs one browser in."""
        with Client(self.remote) as client:
            return client.send(endpoints.new_sign_in_link()).url


def _has_checkpoint(client: Client, job: TrainingJob) -> bool:
    listed = client.send(endpoints.list_checkpoints(job.training_project_id, job.id)).checkpoints
    return any(each.sync_status == "COMPLETE" for each in listed)


def _remote(process: subprocess.Popen[str], said: IO[str]) -> Remote:
    """Wait for the line that says it is ready."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        process.wait()
        said.seek(0)
        raise LocalPlatformError(f"The local platform did not start: {said.read().strip()[-_LAST_WORDS:]}")
    ready = json.loads(line)
    key = Path(ready["key_file"]).read_text().strip()
    return Remote(name="local", api_url=ready["url"], web_url=ready["url"], key=SecretStr(key))
