"""Retrain every night from the checkpoint that production serves, and promote only what does better on held-out data.

Otherwise production is kept, the refused deployment is let go, and the log of `promote` says why. Nights that were
missed are made up for by one run; a run that is started while another goes on waits for its end.
"""

import os
from datetime import datetime, timezone
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    FindServedCheckpointOperator,
    PromoteDeploymentOperator,
    TrainingJobOperator,
)
from truss_train_core import gates

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
CONFIG = DIGITS / "config.py"
AT = os.environ.get("RETRAIN_AT", "0 2 * * *") or None  # empty: only when a person starts it
HELD_OUT = gates.labelled(DIGITS / "held_out.json", label="digit")

with DAG(
    "retrain",
    schedule=AT,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2},
    params={"epochs": 20, "hidden": 4096, "learning_rate": 0.02, "margin": 0.01},
    tags=["truss-train"],
) as dag:
    production = FindServedCheckpointOperator(task_id="production", model_name="digits")
    train = TrainingJobOperator(
        task_id="train",
        config=CONFIG,
        begin_from=production.output,
        environment_variables={
            "EPOCHS": "{{ params.epochs }}",
            "HIDDEN": "{{ params.hidden }}",
            "LEARNING_RATE": "{{ params.learning_rate }}",
        },
    )
    choose = ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")
    deploy = DeployCheckpointOperator(task_id="deploy", checkpoint=choose.output, config=CONFIG)
    PromoteDeploymentOperator(
        task_id="promote",
        deployment=deploy.output,
        gates=lambda context: [gates.better(HELD_OUT, mode="max", margin=context["params"]["margin"])],
        when_refused="skip",
    )
