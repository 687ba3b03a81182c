"""The parts of a running platform, as one value that handlers are given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from truss_train_core.api.clock import Clock
from truss_train_core.local.runner import Runner, ServerSpec, ServerState
from truss_train_core.local.server.data_dir import DataDir
from truss_train_core.local.server.database import Database
from truss_train_core.local.server.presign import Presigner


class Serving(Protocol):
    """What serves deployments; `serving.py` is one. Every function returns at once."""

    def start(self, spec: ServerSpec) -> None:
        """Start serving; starting a deployment that is being served changes nothing."""

    def stop(self, directory: Path) -> None:
        """Ask the process to end; it is over when its state says so."""

    def status(self, directory: Path) -> ServerState:
        """How the deployment fares."""


@dataclass(frozen=True)
class Platform:
    """What the platform is made of.

    Attributes:
        capacity: size of each pool that something was said of.
        stop_grace: seconds between SIGTERM and SIGKILL for jobs.
        python: the interpreter whose packages jobs and deployments see.
        sandboxed: whether jobs and deployments that are started from now on run in a sandbox.
        now: seconds since the epoch.
        names: host names that it answers to beside this machine's own (`same_origin`).
        opened_at: when it began to serve, and so since when its capacity holds.
        lifecycle: held while a job or a deployment is started or asked to stop, so that the two do not cross.
    """

    data: DataDir
    database: Database
    runner: Runner
    serving: Serving
    api_key: str = field(repr=False)
    presigner: Presigner
    python: Path
    capacity: Mapping[str, int] = field(default_factory=dict)
    stop_grace: float = 30.0
    names: tuple[str, ...] = ()
    sandboxed: bool = False
    now: Callable[[], float] = field(default_factory=lambda: Clock().now)
    opened_at: float = field(default_factory=time.time)
    lifecycle: threading.RLock = field(default_factory=threading.RLock, repr=False)
