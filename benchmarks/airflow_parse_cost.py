"""What a DAG file that imports the operators costs, beside one that imports airflow.sdk: a new interpreter's seconds.

Run it in the provider's environment: .venv-airflow/bin/python benchmarks/airflow_parse_cost.py
"""

from __future__ import annotations

import resource
import subprocess
import sys

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
    before = processor_time()
    subprocess.run([sys.executable, "-c", code], check=True)
    return processor_time() - before


def processor_time() -> float:
    """Of all children so far; unlike the clock it is the same on a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    rounds = [(seconds(ALONE), seconds(WITH_OPERATORS)) for _ in range(ROUNDS)]
    alone, with_operators = (min(column) for column in zip(*rounds, strict=True))
    print(f"airflow.sdk alone {alone:.2f} s, with operators {with_operators:.2f} s: {with_operators / alone - 1:+.1%}")


if __name__ == "__main__":
    main()
