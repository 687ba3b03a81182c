"""Train, choose the best checkpoint by its metric, deploy it, and ask it: one run, from the API or the UI.

On the local platform or on Baseten: where `baseten_default` leads decides.
"""

from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    TrainingJobOperator,
)

CONFIG = Path(__file__).parents[2] / "examples" / "digits" / "config.py"
ZERO = [
    [0, 0, 5, 13, 9, 1, 0, 0],
    [0, 0, 13, 15, 10, 15, 5, 0],
    [0, 3, 15, 2, 0, 11, 8, 0],
    [0, 4, 12, 0, 0, 8, 8, 0],
    [0, 5, 8, 0, 0, 9, 8, 0],
    [0, 4, 11, 0, 1, 12, 7, 0],
    [0, 2, 14, 5, 10, 12, 0, 0],
    [0, 0, 6, 13, 10, 0, 0, 0],
]

with DAG("digits", schedule=None, params={"epochs": 40}, tags=["truss-train"]):
    train = TrainingJobOperator(
        task_id="train",
        config=CONFIG,
        environment_variables={"EPOCHS": "{{ params.epochs }}"},
        retries=2,
        training_timeout=3600,
    )
    choose = ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")
    DeployCheckpointOperator(task_id="deploy", checkpoint=choose.output, config=CONFIG, question={"image": ZERO})
