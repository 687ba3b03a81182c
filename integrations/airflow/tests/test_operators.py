"""The operators, with real jobs on a real platform, deferred and not."""

from __future__ import annotations

from typing import Any

import pytest
from airflow_provider_truss_train.operators import TrainingJobOperator
from dag_runs import QUICK, dag, jobs_named, run
from truss_train_core import Client

both = pytest.mark.parametrize("deferrable", [True, False])


def train(**arguments: Any) -> TrainingJobOperator:
    return TrainingJobOperator(task_id="train", config=QUICK, **arguments)


@both
def test_a_job_is_trained_to_its_end_and_its_record_returned(client: Client, deferrable: bool) -> None:
    record = run(dag(lambda: train(deferrable=deferrable))).xcom("train")
    assert record["phase"] == "done"
    (job,) = jobs_named(client, record["key"])
    assert job.succeeded
    assert job.name == record["attempts"][0]["job_name"]


@both
def test_a_job_that_fails_is_resumed_from_its_last_checkpoint(client: Client, deferrable: bool) -> None:
    made = dag(lambda: train(deferrable=deferrable, environment_variables={"FAIL_ONCE_AT": "4"}))
    record = run(made).xcom("train")
    assert [attempt["cause"] for attempt in record["attempts"]] == ["failed", "completed"]
    assert record["attempts"][1]["started_from"]["name"] == "checkpoint-3"
    assert len(jobs_named(client, record["key"])) == 2
