"""Submit, follow, resume, choose and deploy Baseten training jobs. What is listed here is what may be imported.

Names are loaded on first use, so that importing the package costs next to nothing: a DAG or flow file that only builds
a `TrainingProject` loads pydantic and no more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truss_train_core import (
        checkpoints,
        curves,
        datasets,
        definitions,
        deployments,
        errors,
        events,
        gates,
        jobs,
        lineage,
        runs,
        sweeps,
    )
    from truss_train_core.api.async_client import AsyncClient
    from truss_train_core.api.client import Client
    from truss_train_core.api.clock import Clock
    from truss_train_core.api.flows import Event, Flow
    from truss_train_core.api.retry import Retry
    from truss_train_core.config_file import load_deploy_checkpoints_config, load_training_project
    from truss_train_core.pushing import PushResult, preview, push
    from truss_train_core.remotes import Remote, resolve_remote
    from truss_train_core.runs import RunPlan, RunRecord
    from truss_train_core.waiting import Limits

_ROOMS = (
    "checkpoints", "curves", "datasets", "definitions", "deployments", "errors", "events", "gates", "jobs", "lineage",
    "runs", "sweeps",
)  # fmt: skip
_HOMES = {
    "AsyncClient": "api.async_client",
    "Client": "api.client",
    "Clock": "api.clock",
    "Event": "api.flows",
    "Flow": "api.flows",
    "Limits": "waiting",
    "PushResult": "pushing",
    "Remote": "remotes",
    "Retry": "api.retry",
    "RunPlan": "runs",
    "RunRecord": "runs",
    "load_deploy_checkpoints_config": "config_file",
    "load_training_project": "config_file",
    "preview": "pushing",
    "push": "pushing",
    "resolve_remote": "remotes",
}

__all__ = [
    "AsyncClient",
    "Client",
    "Clock",
    "Event",
    "Flow",
    "Limits",
    "PushResult",
    "Remote",
    "Retry",
    "RunPlan",
    "RunRecord",
    "checkpoints",
    "curves",
    "datasets",
    "definitions",
    "deployments",
    "errors",
    "events",
    "gates",
    "jobs",
    "lineage",
    "load_deploy_checkpoints_config",
    "load_training_project",
    "preview",
    "push",
    "resolve_remote",
    "runs",
    "sweeps",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
