"""The seam between the platform and what runs its jobs: submit, stop, status, where the logs are.

The server decides *when* a job runs and answers questions about it; a runner only runs it. Today's runner starts
processes on this machine (`processes/`); another could hand them to a cluster's scheduler. What a job is and how it
fares travels in the frozen models below, through files in the job's directory, so that the server may be killed and
started again while jobs run on:

    jobs/<job id>/
        spec.json      JobSpec, written by the server before the start; readable by the owner only
        state.json     JobState, replaced atomically by the job's supervisor whenever it changes
        stop.json      StopRequest, written by the server; the supervisor obeys it
        logs/          one <replica>.jsonl per rank: LogLine objects in the order of their timestamps
        metrics/       one node-<rank>.jsonl per rank: Sample objects
        work/, venv/   what the job itself sees and changes, a folder per rank
        supervisor.*   its lock, held while it lives, and what it printed, which is nothing unless it failed
    checkpoints/<project id>/<job id>/rank-<n>/<checkpoint>/…     the platform's own copies
    checkpoints/<project id>/<job id>/index.json                  CheckpointIndex, replaced atomically

Deployments have the same shape: deployments/<id>/ with spec.json (ServerSpec), state.json (ServerState), stop.json
and logs/.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field

from truss_train_core.values import Setting

JobPhase = Literal["submitted", "deploying", "running", "completed", "deploy_failed", "failed", "stopped", "preempted"]
FINAL_PHASES: frozenset[str] = frozenset({"completed", "deploy_failed", "failed", "stopped", "preempted"})


class LoadedCheckpoint(Setting):
    """A checkpoint to be in place before the first command; the reference was resolved and pinned by the server.

    Attributes:
        source: the platform's copies, a directory that holds rank-<n>/<checkpoint_name>/.
        folder: what `checkpoint_name` is called below rank-<n>/ in the load directory; "<name>", or "<job id>/<name>"
            where two references would collide.
    """

    source: Path
    checkpoint_name: str
    folder: str


class JobSpec(Setting):
    """Everything a runner must know to run a job. Holds resolved secrets: never logged, file mode 0600.

    Attributes:
        archives: tar files to unpack, in order, into each rank's working directory.
        environment: the user's variables, secrets resolved.
        secrets: the values among them that are secrets: they are masked in the log.
        checkpoint_dir: as the definition asked for (`checkpoint_path`), or None where checkpointing is off; the runner
            maps it below the job's own directory, since a process here shares the machine's file system.
        load_dir: the definition's download folder, mapped likewise; None where nothing is loaded.
        project_cache, team_cache: persistent directories, or None where the cache is off.
        cache_mount: the definition's `mount_base_path`.
        legacy_hf_cache: persistent directory that appears as ~/.cache/huggingface (`enable_legacy_hf_mount`), or None.
        gpus: GPUs per node that the definition asks for; the machine may have fewer.
        retry_count: value of BT_RETRY_COUNT.
        stop_grace: seconds between SIGTERM and SIGKILL.
        python: the interpreter whose packages the job's virtual environment sees.
        sandboxed: whether the commands see a container's paths, and of the data directory only what is theirs.
    """

    job_id: str
    job_name: str
    project_id: str
    project_name: str
    directory: Path
    archives: tuple[Path, ...]
    start_commands: tuple[str, ...]
    environment: dict[str, str] = Field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = Field(default=(), repr=False)
    base_image: str
    node_count: int = 1
    cpu_count: int = 1
    accelerator: str | None = None
    gpus: int = 0
    checkpointing: bool = False
    checkpoint_dir: str | None = None
    checkpoint_store: Path
    load_dir: str | None = None
    loaded: tuple[LoadedCheckpoint, ...] = ()
    project_cache: Path | None = None
    team_cache: Path | None = None
    cache_mount: str = "/root/.cache"
    legacy_hf_cache: Path | None = None
    baseten_workdir: bool = True
    retry_count: int = 0
    stop_grace: float = 30.0
    python: Path
    sandboxed: bool = False
    notices: tuple[str, ...] = ()
    """Lines for the head of the log: what the definition asked for and this platform does otherwise."""


class JobState(Setting):
    """How a job fares. Owned by the job's supervisor, and outlives it.

    Attributes:
        supervisor_pid, supervisor_started: who writes this file: pid and start time (seconds since the epoch, as psutil
            tells it), so that a pid that was given to another process is noticed. A state that is not final and whose
            supervisor is gone means that the job was lost with the machine.
        error_message: why it failed, with the exit code and the last lines of output; None unless it failed.
        syncing: whether checkpoints are still being copied. A job that has ended may still be syncing for a while.
        sync_error: why the last attempt to copy a checkpoint failed, e.g. a full disk; None once one succeeded.
    """

    phase: JobPhase
    updated_at: datetime
    supervisor_pid: int | None = None
    supervisor_started: float | None = None
    exit_code: int | None = None
    error_message: str | None = None
    syncing: bool = False
    sync_error: str | None = None

    @property
    def is_final(self) -> bool:
        return self.phase in FINAL_PHASES


class StopRequest(Setting):
    """Ask a job to end: by a person ("stopped") or as a reclaim of spot capacity would ("preempted")."""

    reason: Literal["stopped", "preempted"]


class Sample(Setting):
    """One measurement of one node. GPU keys are ranks; utilizations 0 to 1; CPU usage in cores; the rest in bytes."""

    timestamp: datetime
    cpu_usage: float
    cpu_memory_usage_bytes: int
    disk_usage_bytes: int
    disk_utilization: float
    cache_usage_bytes: int | None = None
    gpu_utilization: dict[str, float] = Field(default={})
    gpu_memory_usage_bytes: dict[str, int] = Field(default={})


class StoredFile(Setting):
    """A file of a stored checkpoint. `path` is relative to rank-<n>/ and begins with the checkpoint's name.

    Files of the checkpoint "." lie directly in rank-<n>/; their paths are their names.
    """

    path: str
    rank: int
    size_bytes: int
    last_modified: datetime


class StoredCheckpoint(Setting):
    """A checkpoint as the platform keeps it. `complete` turns true when every file is stable and copied."""

    name: str
    kind: Literal["lora", "full", "whisper"]
    created_at: datetime
    base_model: str | None = None
    lora_adapter_config: dict[str, Any] | None = None
    complete: bool = False
    files: tuple[StoredFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class CheckpointIndex(Setting):
    checkpoints: tuple[StoredCheckpoint, ...] = ()


class Runner(Protocol):
    """What runs jobs. Every method returns at once and may be called again after a restart of the server."""

    def submit(self, spec: JobSpec) -> None:
        """Start the job. Submitting the same job id twice starts it once."""

    def stop(self, directory: Path, reason: Literal["stopped", "preempted"]) -> None:
        """Ask the job to end; it is over when its state says so."""

    def status(self, directory: Path) -> JobState:
        """The job's state; a job whose supervisor died without a word is `failed` and says so."""

    def log_path(self, directory: Path, rank: int) -> Path:
        """Where the log of one rank is written."""


# ---------------------------------------------------------------- deployments

ServerPhase = Literal["building", "deploying", "loading_model", "active", "inactive", "deploy_failed", "failed"]


class ServerSpec(Setting):
    """A checkpoint to be served by a real process.

    Attributes:
        weights: (source directory, path below `weights_root` where it has to appear), in place before the start.
        weights_root: stands for the definition's download folder (BT_CHECKPOINT_DIR-like layout
            <job id>/rank-<n>/<checkpoint>).
        start_command: shell command. `PORT` in its environment is the port to listen on, `MODEL_DIR` the first
            checkpoint.
        readiness_path, predict_path: paths of the server itself.
        environment: variables, secrets resolved.
        secrets: the values among them that are secrets: they are masked in the log.
        readiness_timeout: seconds to become ready before the deployment counts as failed.
        sandboxed: whether the process sees of the data directory only what is its own.
    """

    deployment_id: str
    model_id: str
    model_name: str
    directory: Path
    weights_root: Path
    weights: tuple[tuple[Path, str], ...]
    start_command: str
    readiness_path: str = "/health"
    predict_path: str = "/v1/chat/completions"
    environment: dict[str, str] = Field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = Field(default=(), repr=False)
    readiness_timeout: float = 600.0
    python: Path
    sandboxed: bool = False


class ServerState(Setting):
    phase: ServerPhase
    updated_at: datetime
    port: int | None = None
    supervisor_pid: int | None = None
    supervisor_started: float | None = None
    error_message: str | None = None
