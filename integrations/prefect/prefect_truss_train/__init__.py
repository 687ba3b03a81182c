"""Train, resume and deploy on Baseten as Prefect tasks, with blocks, events and artifacts.

Names are loaded on first use, and the core's rooms and what shows a run when a task runs: a flow file that imports this
costs hardly more than one that imports prefect.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_truss_train.approval import Approval, NotApproved, ask_for_approval
    from prefect_truss_train.assets import record_assets
    from prefect_truss_train.cancellation import FlowRunCancelled, stop_jobs_of, with_remote_cancellation
    from prefect_truss_train.credentials import BasetenCredentials
    from prefect_truss_train.datasets import watch_dataset
    from prefect_truss_train.events import on_deployment, on_job, on_new_dataset
    from prefect_truss_train.flows import train_and_deploy
    from prefect_truss_train.sweeps import choose_trial, train_trial
    from prefect_truss_train.tasks import (
        choose_checkpoint,
        deploy_checkpoint,
        find_served_checkpoint,
        promote_deployment,
        rank_checkpoints,
        resume_training_job,
        stop_training_job,
        submit_training_job,
        wait_for_deployment,
        wait_for_training_job,
        watch_deployment,
    )
    from prefect_truss_train.training_job import TrainingJob, TrainingJobRun
    from prefect_truss_train.training_run import TrainingRun

_HOMES = {
    "Approval": "approval",
    "BasetenCredentials": "credentials",
    "FlowRunCancelled": "cancellation",
    "NotApproved": "approval",
    "TrainingJob": "training_job",
    "TrainingJobRun": "training_job",
    "TrainingRun": "training_run",
    "ask_for_approval": "approval",
    "choose_checkpoint": "tasks",
    "choose_trial": "sweeps",
    "deploy_checkpoint": "tasks",
    "find_served_checkpoint": "tasks",
    "on_deployment": "events",
    "on_job": "events",
    "on_new_dataset": "events",
    "promote_deployment": "tasks",
    "rank_checkpoints": "tasks",
    "record_assets": "assets",
    "resume_training_job": "tasks",
    "stop_jobs_of": "cancellation",
    "stop_training_job": "tasks",
    "submit_training_job": "tasks",
    "train_and_deploy": "flows",
    "train_trial": "sweeps",
    "wait_for_deployment": "tasks",
    "wait_for_training_job": "tasks",
    "watch_deployment": "tasks",
    "watch_dataset": "datasets",
    "with_remote_cancellation": "cancellation",
}

__all__ = [
    "Approval",
    "BasetenCredentials",
    "FlowRunCancelled",
    "NotApproved",
    "TrainingJob",
    "TrainingJobRun",
    "TrainingRun",
    "ask_for_approval",
    "choose_checkpoint",
    "choose_trial",
    "deploy_checkpoint",
    "find_served_checkpoint",
    "on_deployment",
    "on_job",
    "on_new_dataset",
    "promote_deployment",
    "rank_checkpoints",
    "record_assets",
    "resume_training_job",
    "stop_jobs_of",
    "stop_training_job",
    "submit_training_job",
    "train_and_deploy",
    "train_trial",
    "wait_for_deployment",
    "wait_for_training_job",
    "watch_dataset",
    "watch_deployment",
    "with_remote_cancellation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
