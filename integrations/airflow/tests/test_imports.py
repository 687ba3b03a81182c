"""What a DAG file loads that imports the provider: next to nothing beyond airflow.sdk."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from airflow.sdk import DAG
before = set(sys.modules)
from airflow_provider_truss_train import operators, sensors
with DAG("d", schedule=None):
    operators.TrainingJobOperator(task_id="t", config="config.py")
print(*sorted(set(sys.modules) - before))
"""


def test_a_dag_file_does_not_load_the_core() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    loaded = {name for name in done.stdout.split("\n")[-2].split() if name.startswith("truss_train_core")}
    assert loaded <= {"truss_train_core", "truss_train_core.errors"}
