"""Parsing a DAG file that uses the provider: a DAG processor does it again and again, each time in a new process.

All files are parsed in one environment, which has the operators for SageMaker's and Databricks' trainings, too.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import Cost, cost_of, in_turn, python
from benchmarks.results import COSTS, Goal, Result, cost_row

ALONE, OURS, SAGEMAKER, DATABRICKS = (
    "airflow.sdk alone",
    "this provider",
    "SageMaker's operators",
    "Databricks' operators",
)
DAG = """
from airflow.sdk import DAG
{imports}
with DAG("d", schedule=None):
    {tasks}
"""
FILES = {
    ALONE: ("", "pass"),
    OURS: (
        "from airflow_provider_truss_train.operators import "
        "ChooseCheckpointOperator, DeployCheckpointOperator, TrainingJobOperator\n"
        "from airflow_provider_truss_train.sensors import TrainingJobSensor",
        'TrainingJobOperator(task_id="t", config="config.py")',
    ),
    SAGEMAKER: (
        "from airflow.providers.amazon.aws.operators.sagemaker import "
        "SageMakerModelOperator, SageMakerTrainingOperator\n"
        "from airflow.providers.amazon.aws.sensors.sagemaker import SageMakerTrainingSensor",
        'SageMakerTrainingOperator(task_id="t", config={"TrainingJobName": "t"})',
    ),
    DATABRICKS: (
        "from airflow.providers.databricks.operators.databricks import DatabricksSubmitRunOperator\n"
        "from airflow.providers.databricks.sensors.databricks import DatabricksSQLStatementsSensor",
        'DatabricksSubmitRunOperator(task_id="t", json={})',
    ),
}


def measure(quick: bool) -> Result:
    with TemporaryDirectory(prefix="bench-dags-") as directory:
        costs = in_turn({name: partial(_parsed, Path(directory), name) for name in FILES}, 1 if quick else 21)
    ours, alone = costs[OURS], costs[ALONE]
    return Result(
        title="An interpreter that executes a DAG file",
        goals=(Goal("processor time, of airflow.sdk alone", ours.ratio(alone, "processor"), 1.05),),
        columns=(*COSTS, "processor, of airflow.sdk alone"),
        table=[
            (*cost_row(name, each), f"{each.ratio(alone, 'processor').value:.2f} ×") for name, each in costs.items()
        ],
    )


def _parsed(home: Path, name: str) -> Cost:
    imports, tasks = FILES[name]
    file = home / "dag.py"
    file.write_text(DAG.format(imports=imports, tasks=tasks))
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return cost_of([python(".venv-bench"), file], environment=environment)
