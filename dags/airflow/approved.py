"""Train and deploy on its own, but put into production only what a person has approved, who sees the evaluation."""

from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    PromoteDeploymentOperator,
    TrainingJobOperator,
)

CONFIG = Path(__file__).parents[2] / "examples" / "digits" / "config.py"
BLANK = [[0] * 8] * 8

EVALUATION = """
| | |
| --- | --- |
| checkpoint | {{ ti.xcom_pull("choose").checkpoint.checkpoint_id }} |
| {{ ti.xcom_pull("choose").metric }} | {{ ti.xcom_pull("choose").value }} |
| why this one | {{ ti.xcom_pull("choose").reason }} |
| answer to a blank image | {{ ti.xcom_pull("deploy").answer }} |
"""

with DAG("approved", schedule=None, params={"epochs": 40}, tags=["truss-train"]) as dag:
    train = TrainingJobOperator(
        task_id="train",
        config=CONFIG,
        environment_variables={"EPOCHS": "{{ params.epochs }}"},
        max_runtime=timedelta(hours=1),
        retries=2,
    )
    choose = ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")
    deploy = DeployCheckpointOperator(
        task_id="deploy", checkpoint=choose.output, config=CONFIG, question={"image": BLANK}
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Put {{ ti.xcom_pull('choose').checkpoint.checkpoint_id }} of run {{ run_id }} into production?",
        body=EVALUATION,
        response_timeout=timedelta(days=2),
    )
    promote = PromoteDeploymentOperator(
        task_id="promote",
        deployment=deploy.output,
        question={"image": BLANK},
        expected=lambda answer: answer["digit"] in range(10),
    )
    deploy >> approve >> promote
