"""What the tries of a task make of what earlier ones left: with real jobs, and task state in a dictionary."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from dag_runs import QUICK, jobs_named, numbers, status_at_the_end

from airflow_provider_truss_train.task_run import OnClear, TaskRun
from truss_train_core import Client, RunPlan, RunRecord, jobs, load_training_project

RETRIES = 2


class Task:
    """A task instance, its state store, and what becomes of them over tries and clears."""

    def __init__(self, client: Client, *, once_per: str | None = None, **variables: str) -> None:
        self.client = client
        self.once_per = once_per
        self.store: dict[str, Any] = {}
        self.variables = variables
        self.ti = SimpleNamespace(
            dag_id="pipeline", run_id=f"run-{next(numbers)}", task_id="train", map_index=-1, max_tries=RETRIES
        )
        self.tried = 0

    def attempt(self, *, on_clear: OnClear = "reattach", retrain: bool = False) -> TaskRun:
        """The next try, once it has taken up what there is."""
        self.tried += 1
        project = load_training_project(QUICK).with_parameters(self.variables)
        plan = RunPlan(project=project, source_dir=QUICK.parent, max_failures=0, follow_logs=False)
        context: Any = {"ti": self.ti, "task_state_store": Store(self.store)}
        log = logging.getLogger("task")
        run = TaskRun(self.client, plan, context, retries=RETRIES, once_per=self.once_per, log=log)
        run.take_up(on_clear=on_clear, retrain=retrain)
        return run

    def clear(self) -> None:
        """What Airflow does to a task that a person clears."""
        self.ti.max_tries = self.tried + RETRIES

    def jobs(self) -> list[jobs.TrainingJob]:
        ti = self.ti
        first = jobs.run_key(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        anew = [jobs.run_key(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, n) for n in range(1, 9)]
        return [job for key in (first, *anew) for job in jobs_named(self.client, key)]


class Store:
    """As much of Airflow's task state as is used."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


def until(run: TaskRun, *phases: str) -> RunRecord:
    while run.record.phase not in phases:
        run.step()
    return run.record


def test_a_retry_takes_up_the_job_that_runs(client: Client) -> None:
    task = Task(client)
    first = until(task.attempt(), "training")
    assert until(task.attempt(), "done").attempt.job_id == first.attempt.job_id
    assert len(task.jobs()) == 1


def test_a_try_that_died_inside_the_create_is_followed_by_one_that_finds_the_job(client: Client) -> None:
    task = Task(client)
    until(task.attempt(), "submitting")
    kept = dict(task.store)
    until(task.attempt(), "training")
    task.store = kept  # as if the first had died before it could keep the id
    until(task.attempt(), "done")
    assert len(task.jobs()) == 1


def test_without_task_state_the_jobs_are_found_by_their_names(client: Client) -> None:
    task = Task(client, FAIL_ONCE_AT="3")
    until(task.attempt(), "failed")
    until(task.attempt(), "done")
    task.store = {}
    until(task.attempt(), "failed")  # with its budget of none; it saw the first attempt fail once more
    record = until(task.attempt(), "done")
    assert [attempt.cause for attempt in record.attempts] == ["failed", "completed"]
    assert len(task.jobs()) == 2


def test_what_is_trained_for_once_is_one_run_in_all_dag_runs(client: Client) -> None:
    version, other = f"v{next(numbers)}", f"v{next(numbers)}"
    first = until(Task(client, once_per=version).attempt(), "done")
    again = until(Task(client, once_per=version).attempt(), "done")
    assert again.attempts == first.attempts
    assert until(Task(client, once_per=other).attempt(), "training").attempt.job_id != first.attempt.job_id


def test_what_is_trained_for_once_is_trained_again_by_a_clear_that_asks_for_it(client: Client) -> None:
    task = Task(client, once_per=f"v{next(numbers)}")
    first = until(task.attempt(), "done")
    task.clear()
    assert until(task.attempt(retrain=True), "training").attempt.job_id != first.attempt.job_id


def test_a_retry_after_a_failed_run_goes_on_from_its_last_checkpoint(client: Client) -> None:
    task = Task(client, FAIL_ONCE_AT="3")
    until(task.attempt(), "failed")
    record = until(task.attempt(), "done")
    assert record.attempt.started_from
    assert record.attempt.started_from.name == "checkpoint-2"


def test_a_clear_of_a_finished_run_returns_it_and_says_so(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    task = Task(client)
    first = until(task.attempt(), "done")
    task.clear()
    with caplog.at_level("INFO"):
        assert task.attempt().record == first
    assert "the finished run is returned" in caplog.text
    assert len(task.jobs()) == 1


def test_a_clear_of_a_run_that_finished_without_a_worker_returns_it(client: Client) -> None:
    task = Task(client)
    job_id = until(task.attempt(), "training").attempt.job_id
    job = client.run(jobs.find(job_id))
    assert status_at_the_end(client, job) == "COMPLETED"
    task.clear()
    record = task.attempt().record
    assert (record.phase, record.attempt.job_id) == ("done", job_id)


def test_a_clear_can_ask_for_a_new_training(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    task = Task(client)
    first = until(task.attempt(), "done")
    task.clear()
    with caplog.at_level("INFO"):
        second = until(task.attempt(retrain=True), "training")
    assert "a new training begins" in caplog.text
    assert second.key != first.key
    assert until(task.attempt(retrain=True), "done").key == second.key  # a retry of the cleared task
    assert len(task.jobs()) == 2


def test_a_clear_while_the_job_runs_takes_it_up(client: Client) -> None:
    task = Task(client)
    first = until(task.attempt(), "training")
    task.clear()
    assert until(task.attempt(), "done").attempt.job_id == first.attempt.job_id
    assert len(task.jobs()) == 1


def test_a_clear_while_the_job_runs_can_stop_it_and_begin_anew(client: Client) -> None:
    task = Task(client, STEP_SECONDS="20")
    until(task.attempt(), "training")
    task.clear()
    until(task.attempt(on_clear="cancel"), "training")
    old, new = task.jobs()
    assert status_at_the_end(client, old) == "STOPPED"
    client.run(jobs.stop(new))


def test_a_clear_whose_trigger_has_stopped_the_job_already_begins_anew(client: Client) -> None:
    task = Task(client, STEP_SECONDS="20")
    first = until(task.attempt(), "training")
    job = client.run(jobs.find(first.attempt.job_id))
    task.clear()
    client.run(jobs.stop(job))
    assert status_at_the_end(client, job) == "STOPPED"
    record = until(task.attempt(on_clear="cancel"), "training")
    assert record.key != first.key
    old, new = task.jobs()
    assert [old.id, new.id] == [job.id, record.attempt.job_id]
    client.run(jobs.stop(new))


def test_a_clear_after_the_job_was_stopped_goes_on_in_another_attempt(client: Client) -> None:
    task = Task(client, STEP_SECONDS="20")
    job_id = until(task.attempt(), "training").attempt.job_id
    job = client.run(jobs.find(job_id))
    client.run(jobs.stop(job))
    assert status_at_the_end(client, job) == "STOPPED"
    task.clear()
    task.variables = {}
    record = until(task.attempt(), "done")
    assert [attempt.cause for attempt in record.attempts] == ["stopped", "completed"]
