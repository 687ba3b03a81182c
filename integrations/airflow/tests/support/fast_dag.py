"""Runs a DAG that trains, chooses and deploys in this process, where time passes faster for whoever waits.

    python fast_dag.py NUMBER

The same number is the same DAG run: what an earlier process knew of it is forgotten, and only its identity remains.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from typing import Any

from dag_runs import QUICK, dag, register

from airflow_provider_truss_train.hooks import BasetenHook
from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    TrainingJobOperator,
)
from truss_train_core import Client
from truss_train_core.testing import FastClock

SPEED = 10.0


def fast_client(hook: Any) -> Client:
    return Client(hook.remote, clock=FastClock(SPEED))


def build() -> None:
    trained = TrainingJobOperator(
        task_id="train", config=QUICK, deferrable=False, environment_variables={"STEP_SECONDS": "0"}
    )
    chosen = ChooseCheckpointOperator(task_id="choose", run=trained.output, metric="eval_loss", mode="min")
    DeployCheckpointOperator(task_id="deploy", checkpoint=chosen.output, config=QUICK, deferrable=False)


if __name__ == "__main__":
    BasetenHook.client = fast_client  # type: ignore[method-assign]
    made = dag(build, name="chaos")
    register(made)
    day = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=int(sys.argv[1]))
    dag_run = made.test(logical_date=day, run_after=day)  # both make the run's id
    sys.exit(dag_run.state != "success")
