"""Serving deployments: each has a supervisor process of its own, as a job has; see `server_supervisor.py`.

The state of a deployment lies in its directory, so the server may be killed and started again while it answers.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from truss_train_core.local.processes import detached, server_supervisor
from truss_train_core.local.processes.detached import Intervals
from truss_train_core.local.processes.ownership import is_owned
from truss_train_core.local.runner import ServerPhase, ServerSpec, ServerState
from truss_train_core.local.statefiles import SPEC_FILE, STATE_FILE, STOP_FILE, read_json, write_json_atomic

ENDED: frozenset[ServerPhase] = frozenset({"inactive", "deploy_failed", "failed"})
"""Phases in which no process runs; `start` begins anew."""


def start(spec: ServerSpec, intervals: Intervals | None = None) -> None:
    """Serve a deployment, for the first time or again; one that is being served is left alone.

    Raises:
        OSError: the deployment's directory cannot be written. Nothing runs, and starting again is safe.
    """
    state = read_json(spec.directory / STATE_FILE, ServerState)
    if state is not None and state.phase not in ENDED and is_owned(spec.directory):
        return
    spec.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in (STOP_FILE, STATE_FILE):
        (spec.directory / file).unlink(missing_ok=True)
    write_json_atomic(spec.directory / SPEC_FILE, spec)
    detached.start(server_supervisor.__name__, spec.directory, (intervals or Intervals()).model_dump_json())


def stop(directory: Path) -> None:
    """Ask a deployment to end; it has when its phase is "inactive"."""
    detached.request_stop(directory, "stopped")


def status(directory: Path) -> ServerState:
    """A deployment's state. If its supervisor has died, its process is killed and the deployment has failed.

    Raises:
        LocalPlatformError: the state is damaged.
        OSError: there is no deployment in `directory`.
    """
    return detached.state_of(
        directory,
        ServerState(phase="building", updated_at=datetime.now(timezone.utc)),
        is_over=lambda state: state.phase in ENDED,
        after_death=lambda _, cause: {"phase": "failed", "port": None, "error_message": cause},
    )
