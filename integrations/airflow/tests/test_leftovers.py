"""What a DAG run leaves behind. On a real Airflow: test_standalone.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from dag_runs import QUICK, dag, register, status_at_the_end

from airflow_provider_truss_train.leftovers import stop_leftovers
from airflow_provider_truss_train.operators import SubmitTrainingJobOperator, TrainingJobOperator
from truss_train_core import Client, jobs, load_training_project, push


def test_a_dag_that_trains_stops_leftovers_after_what_its_author_wants() -> None:
    def told(context: Any) -> None:
        """What a DAG's author wants to be called."""

    made = dag(lambda: TrainingJobOperator(task_id="train", config=QUICK))
    made.on_failure_callback = told
    register(made)
    assert made.on_failure_callback == [told, stop_leftovers]
    assert made.on_success_callback == [stop_leftovers]
    assert made.has_on_success_callback


def test_a_dag_that_waits_for_no_training_is_left_as_it_is() -> None:
    made = dag(lambda: SubmitTrainingJobOperator(task_id="submit", config=QUICK))
    register(made)
    assert made.on_failure_callback is made.on_success_callback is None


def test_only_jobs_of_tasks_that_have_ended_are_stopped(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = [{"NUMBER": str(number)} for number in range(3)]
    made = dag(
        lambda: TrainingJobOperator.partial(task_id="train", config=QUICK).expand(environment_variables=variables)
    )
    states = {"run": {"train_0": "failed", "train_1": "running", "train_2": "success"}}

    def answer(*, dag_id: str, task_ids: list[str], run_ids: list[str]) -> Mapping[str, Mapping[str, str]]:
        assert (dag_id, task_ids, run_ids) == (made.dag_id, ["train"], ["run"])
        return states

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", answer)
    keys = [jobs.run_key(made.dag_id, "run", "train", index, *more) for index, *more in ((0,), (1,), (2,), (2, 1))]
    failed, running, succeeded, anew = (_job(client, key) for key in keys)
    stop_leftovers({"dag": made, "run_id": "run"})
    for job in (failed, succeeded, anew):
        assert status_at_the_end(client, job) == "STOPPED"
    assert not client.run(jobs.get(running)).is_terminal
    client.run(jobs.stop(running))


def _job(client: Client, key: str) -> jobs.TrainingJob:
    """A long job whose name carries a key."""
    project = load_training_project(QUICK)
    runtime = project.job.runtime.model_copy(update={"environment_variables": {"STEP_SECONDS": "60"}})
    job = project.job.model_copy(update={"name": jobs.job_name("quick", key, 1), "runtime": runtime})
    pushed = push(project.model_copy(update={"job": job}), client.remote, source_dir=QUICK.parent)
    return client.run(jobs.find(pushed["training_job"]["id"]))
