"""A DAG to look at in a browser, whose training breaks off once: see tests/test_browser.py."""

from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    TrainingJobOperator,
)

CONFIG = Path(__file__).parents[4] / "tests" / "cli" / "quick" / "config.py"

with DAG("seen", schedule=None, params={"seconds": 1.0}):
    variables = {"STEP_SECONDS": "{{ params.seconds }}", "FAIL_ONCE_AT": "4"}
    train = TrainingJobOperator(task_id="train", config=CONFIG, environment_variables=variables)
    choose = ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")
    DeployCheckpointOperator(task_id="deploy", checkpoint=choose.output, config=CONFIG)
