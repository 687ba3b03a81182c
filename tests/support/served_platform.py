"""A local platform behind real HTTP whose jobs and deployments are not run: a test says how they fare."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn

from truss_train_core.local import joblogs
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE
from truss_train_core.local.runner import (
    CheckpointIndex,
    JobSpec,
    JobState,
    ServerSpec,
    ServerState,
    StoredCheckpoint,
    StoredFile,
)
from truss_train_core.local.serve import ServeOptions, opened
from truss_train_core.local.server.app import advance, create_app
from truss_train_core.local.server.data_dir import held
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.statefiles import write_json_atomic

NEVER = 3600.0  # the platform moves on when a test says so


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class ScriptedRunner:
    """A runner that runs nothing; jobs fare as `set` says."""

    specs: dict[str, JobSpec] = field(default_factory=dict)
    states: dict[Path, JobState] = field(default_factory=dict)
    stops: list[tuple[str, str]] = field(default_factory=list)
    refuses: Exception | None = None

    def submit(self, spec: JobSpec) -> None:
        if self.refuses:
            raise self.refuses
        spec.directory.mkdir(parents=True, exist_ok=True)
        self.specs[spec.job_id] = spec
        self.states.setdefault(spec.directory, JobState(phase="submitted", updated_at=now()))

    def stop(self, directory: Path, reason: Literal["stopped", "preempted"]) -> None:
        self.stops.append((directory.name, reason))

    def status(self, directory: Path) -> JobState:
        return self.states[directory]

    def log_path(self, directory: Path, rank: int) -> Path:
        return joblogs.path_of(directory, rank)

    def set(self, job_id: str, phase: str, **fields: Any) -> None:
        state = {"phase": phase, "updated_at": now(), **fields}
        self.states[self.specs[job_id].directory] = JobState.model_validate(state)


@dataclass
class ScriptedServing:
    """What serves nothing; deployments fare as `set` says."""

    specs: dict[str, ServerSpec] = field(default_factory=dict)
    states: dict[Path, ServerState] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)

    def start(self, spec: ServerSpec) -> None:
        spec.directory.mkdir(parents=True, exist_ok=True)
        self.specs[spec.deployment_id] = spec
        self.states[spec.directory] = ServerState(phase="building", updated_at=now())

    def stop(self, directory: Path) -> None:
        self.stops.append(directory.name)

    def status(self, directory: Path) -> ServerState:
        return self.states[directory]

    def set(self, deployment_id: str, phase: str, **fields: Any) -> None:
        state = {"phase": phase, "updated_at": now(), **fields}
        self.states[self.specs[deployment_id].directory] = ServerState.model_validate(state)


@dataclass
class Served:
    """The platform, a client with its key, and the hands that move it."""

    platform: Platform
    runner: ScriptedRunner
    serving: ScriptedServing
    http: httpx.Client
    url: str

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200, **query: Any) -> Any:
        answer = self.http.request(method, path, json=body, params=query or None)
        assert answer.status_code == expect, f"{answer.status_code}: {answer.text}"
        return answer.json()

    def move_on(self) -> None:
        advance(self.platform)

    # What tests begin with.

    def project(self, name: str = "digits") -> str:
        body = {"training_project": {"name": name}}
        return str(self.call("POST", "/v1/training_projects", body)["training_project"]["id"])

    def job(self, project_id: str, **training_job: Any) -> dict[str, Any]:
        body = {"image": {"base_image": "python:3.12"}, **training_job}
        path = f"/v1/training_projects/{project_id}/jobs"
        return dict(self.call("POST", path, {"training_job": body})["training_job"])

    def running_job(self, project_id: str, **training_job: Any) -> str:
        job_id = str(self.job(project_id, **training_job)["id"])
        self.move_on()
        self.runner.set(job_id, "running")
        self.move_on()
        return job_id

    def look(self, project_id: str, job_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/v1/training_projects/{project_id}/jobs/{job_id}")["training_job"])

    def status(self, project_id: str, job_id: str) -> str:
        return str(self.look(project_id, job_id)["current_status"])

    def store(
        self, project_id: str, job_id: str, name: str, *, kind: str = "full", complete: bool = True, **fields: Any
    ) -> None:
        """Put a checkpoint of two files into the store, as a job's supervisor does."""
        store = self.platform.data.checkpoints(project_id, job_id)
        folder = store / "rank-0" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "weights.bin").write_bytes(b"0123456789")
        files = [
            StoredFile(path=f"{name}/{path.name}", rank=0, size_bytes=path.stat().st_size, last_modified=now())
            for path in sorted(folder.iterdir())
        ]
        checkpoint = StoredCheckpoint.model_validate(
            {"name": name, "kind": kind, "created_at": now(), "complete": complete, "files": files, **fields}
        )
        index = store / INDEX_FILE
        before = CheckpointIndex.model_validate_json(index.read_text()).checkpoints if index.exists() else ()
        write_json_atomic(index, CheckpointIndex(checkpoints=(*before, checkpoint)))


@contextlib.contextmanager
def served(data_dir: Path, **options: Any) -> Iterator[Served]:
    """A platform with its own port and directory."""
    runner, serving = ScriptedRunner(), ScriptedServing()
    chosen = ServeOptions(data_dir=data_dir, remote=None, sandbox=False, **options)
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(held(data_dir))
        platform = stack.enter_context(opened(data, chosen, runner, serving))
        url = stack.enter_context(listening(platform))
        headers = {"Authorization": f"Api-Key {platform.api_key}"}
        http = stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=30))
        yield Served(platform, runner, serving, http, url)


@contextlib.contextmanager
def listening(platform: Platform) -> Iterator[str]:
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(create_app(platform, tick=NEVER), log_config=None, lifespan="on"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
