"""The pipelines of dags/airflow run as they stand, with short trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from dag_runs import run

from truss_train_core import Client

FOLDER = Path(__file__).resolve().parents[3] / "dags" / "airflow"


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    bag = DagBag(FOLDER)
    assert not bag.import_errors
    return bag.dags


def test_digits_are_learnt_and_told(dags: dict[str, DAG], client: Client) -> None:
    ended = run(dags["digits"], run_conf={"epochs": 3})
    assert ended.xcom("deploy")["answer"]["digit"] == 0


@pytest.mark.slow
def test_the_best_of_a_sweep_is_deployed(dags: dict[str, DAG], client: Client) -> None:
    space = {"LEARNING_RATE": [0.001, 0.05], "HIDDEN": [64]}
    ended = run(dags["sweep"], run_conf={"epochs": 2, "samples": 0, "space": space})
    records = [ended.xcom("train", map_index=index) for index in (0, 1)]
    best: Any = ended.xcom("best")
    assert best["checkpoint"]["training_job_id"] == records[1]["attempts"][0]["job_id"]
    assert ended.xcom("deploy")["status"] == "ACTIVE"


@pytest.mark.slow
def test_a_function_says_what_to_train_and_sensors_wait(dags: dict[str, DAG], client: Client) -> None:
    ended = run(dags["decorated"], run_conf={"epochs": 2})
    assert ended.xcom("train")["phase"] == "done"
    assert ended.xcom("first_checkpoint")["step"] > 0
    assert ended.xcom("done")["status"] == "TRAINING_JOB_COMPLETED"
