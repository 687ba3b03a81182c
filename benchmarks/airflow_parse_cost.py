"""What a DAG file pays for importing the operators, beside one that imports airflow.sdk: seconds of fresh interpreters.

Run it in the provider's environment: .venv-airflow/bin/python benchmarks/airflow_parse_cost.py
"""

from __future__ import annotations

import subprocess
import sys
import time

ROUNDS = 7
ALONE = "from airflow.sdk import DAG"
WITH_OPERATORS = f"""{ALONE}
from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator, DeployCheckpointOperator, SubmitTrainingJobOperator, TrainingJobOperator
)
from airflow_provider_truss_train.sensors import TrainingJobSensor
with DAG("d", schedule=None):
    TrainingJobOperator(task_id="t", config="config.py")
"""


def seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main() -> None:
    rounds = [(seconds(ALONE), seconds(WITH_OPERATORS)) for _ in range(ROUNDS)]
    alone, with_operators = (min(column) for column in zip(*rounds, strict=True))
    print(f"airflow.sdk alone {alone:.2f} s, with operators {with_operators:.2f} s: {with_operators / alone - 1:+.1%}")


if __name__ == "__main__":
    main()
