"""The operators, with real jobs on a real platform, deferred and not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import task
from dag_runs import QUICK, Ended, dag, jobs_named, run, status_at_the_end

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    StopTrainingJobOperator,
    SubmitTrainingJobOperator,
    TrainingJobOperator,
)
from truss_train_core import Client, load_training_project

both = pytest.mark.parametrize("deferrable", [True, False])


def train(**arguments: Any) -> TrainingJobOperator:
    return TrainingJobOperator(task_id="train", **{"config": QUICK, "follow_logs": False, **arguments})


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


def test_the_best_checkpoint_is_deployed_and_answers(client: Client) -> None:
    def build() -> None:
        trained = train(deferrable=False)
        chosen = ChooseCheckpointOperator(task_id="choose", run=trained.output, metric="eval_loss", mode="min")
        DeployCheckpointOperator(task_id="deploy", checkpoint=chosen.output, config=QUICK, question={"ask": 1})

    ended = run(dag(build))
    chosen = ended.xcom("choose")
    assert (chosen["checkpoint"]["checkpoint_id"], chosen["value"]) == ("checkpoint-3", 0.5)
    deployed = ended.xcom("deploy")
    assert deployed["status"] == "ACTIVE"
    assert deployed["answer"]


def test_a_definition_may_be_made_when_the_task_runs_and_is_not_shown(client: Client) -> None:
    def build() -> None:
        train(config=lambda context: load_training_project(QUICK), source_dir=QUICK.parent, deferrable=False)

    made = dag(build)
    assert run(made).xcom("train")["phase"] == "done"
    shown = {field: getattr(made.task_dict["train"], field) for field in made.task_dict["train"].template_fields}
    assert shown["config"] is None


@both
def test_a_job_whose_time_is_up_is_stopped_and_the_error_says_so(
    client: Client, deferrable: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    made = dag(
        lambda: train(
            deferrable=deferrable, training_timeout=3, environment_variables={"STEP_SECONDS": "60"}, retries=2
        )
    )
    ended = run(made, fails=True)
    assert ended.tries == {"train": 1}
    (job,) = jobs_named(client, ended.key("train"))
    assert status_at_the_end(client, job) == "STOPPED"
    assert "has not ended 3 s after its creation, and was stopped" in capfd.readouterr().out


def test_a_job_whose_worker_may_run_no_longer_is_stopped(client: Client) -> None:
    made = dag(
        lambda: train(
            deferrable=False, execution_timeout=timedelta(seconds=4), environment_variables={"STEP_SECONDS": "60"}
        )
    )
    (job,) = jobs_named(client, run(made, fails=True).key("train"))
    assert status_at_the_end(client, job) == "STOPPED"


def test_a_failure_beyond_its_budget_fails_the_task(client: Client) -> None:
    made = dag(lambda: train(deferrable=False, max_failures=0, environment_variables={"FAIL_AT": "2"}))
    ended = run(made, fails=True)
    assert len(jobs_named(client, ended.key("train"))) == 1


def test_a_submitted_job_can_be_stopped(client: Client) -> None:
    def build() -> None:
        submitted = SubmitTrainingJobOperator(
            task_id="submit", config=QUICK, environment_variables={"STEP_SECONDS": "60"}
        )
        StopTrainingJobOperator(task_id="stop", run=submitted.output)

    ended = run(dag(build))
    (job,) = jobs_named(client, ended.xcom("submit")["key"])
    assert status_at_the_end(client, job) == "STOPPED"
    assert ended.xcom("stop")["job_id"] == job.id


def test_mapped_tasks_have_jobs_of_their_own(client: Client) -> None:
    def build() -> None:
        some = [{"SEED": "1"}, {"SEED": "2"}]
        TrainingJobOperator.partial(task_id="train", config=QUICK, follow_logs=False).expand(environment_variables=some)

    ended = run(dag(build))
    keys = {ended.xcom("train", map_index=index)["key"] for index in (0, 1)}
    assert len(keys) == 2
    assert all(len(jobs_named(client, key)) == 1 for key in keys)


def test_the_decorated_function_says_what_to_train(client: Client) -> None:
    def build() -> None:
        @task.training_job(config=QUICK, follow_logs=False, deferrable=False)
        def tuned(params: dict[str, Any] | None = None) -> dict[str, str]:
            return {"EXTRA": "1"}

        @task.training_job(source_dir=QUICK.parent, follow_logs=False)
        def whole() -> Any:
            return load_training_project(QUICK)

        tuned() >> whole()

    ended = run(dag(build))
    assert ended.xcom("tuned")["phase"] == ended.xcom("whole")["phase"] == "done"


def test_what_cannot_work_is_refused_when_the_file_is_parsed() -> None:
    refused: list[tuple[str, Callable[[], Any]]] = [
        ("on_clear", lambda: train(on_clear="forget")),
        ("never guessed", lambda: ChooseCheckpointOperator(task_id="choose", run={}, metric="loss")),
        ("one of the two", lambda: StopTrainingJobOperator(task_id="stop")),
    ]
    for message, build in refused:
        with pytest.raises(ValueError, match=message):
            dag(build)


def test_a_bad_key_fails_at_once(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = f'{{"conn_type": "baseten", "host": "{platform.remote.api_url}", "password": "wrong"}}'
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", connection)
    ended: Ended = run(dag(lambda: train(baseten_conn_id="wrong", retries=3)), fails=True)
    assert ended.tries == {"train": 1}
