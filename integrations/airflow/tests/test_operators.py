"""The operators, with real jobs on a real platform, deferred and not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import task
from airflow.sdk.definitions.retry_policy import RetryAction
from dag_runs import QUICK, Ended, dag, jobs_named, run, status_at_the_end

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    PromoteDeploymentOperator,
    StopTrainingJobOperator,
    SubmitTrainingJobOperator,
    TrainingJobOperator,
)
from airflow_provider_truss_train.task_run import TaskRun
from truss_train_core import Client, Flow, deployments, errors, load_training_project
from truss_train_core.api import endpoints  # what the platform has is asked of the platform

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


@both
def test_a_deployment_that_answers_as_expected_is_promoted_once(client: Client, deferrable: bool) -> None:
    def promote(name: str, deployment: Any) -> PromoteDeploymentOperator:
        return PromoteDeploymentOperator(
            task_id=name,
            deployment=deployment,
            question={"ask": 1},
            expected=lambda answer: bool(answer),
            deferrable=deferrable,
        )

    def build() -> None:
        trained = train(deferrable=False)
        chosen = ChooseCheckpointOperator(task_id="choose", run=trained.output)
        deployed = DeployCheckpointOperator(task_id="deploy", checkpoint=chosen.output, config=QUICK)
        promote("promote", deployed.output) >> promote("again", deployed.output)

    ended = run(dag(build))
    deployed, promoted, again = (ended.xcom(name) for name in ("deploy", "promote", "again"))
    assert promoted["deployment_id"] == deployed["deployment_id"]
    assert promoted["former_id"] != promoted["deployment_id"]
    assert again["former_id"] == again["deployment_id"] == deployed["deployment_id"]
    answering = client.send(endpoints.get_environment(promoted["model_id"], "production"))
    assert answering.current_deployment
    assert answering.current_deployment.id == deployed["deployment_id"]


def test_a_deployment_that_does_not_answer_as_expected_is_not_promoted_and_not_tried_again(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    def build() -> None:
        trained = train(deferrable=False)
        chosen = ChooseCheckpointOperator(task_id="choose", run=trained.output)
        deployed = DeployCheckpointOperator(task_id="deploy", checkpoint=chosen.output, config=QUICK)
        PromoteDeploymentOperator(
            task_id="promote", deployment=deployed.output, question={"ask": 1}, expected=lambda answer: False, retries=2
        )

    ended = run(dag(build), fails=True)
    assert ended.tries["promote"] == 1
    assert "did not pass a gate: its answer is not as expected" in capfd.readouterr().out


@both
def test_a_deployment_that_fails_in_service_fails_the_task_at_once(
    platform: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    promoted = deployments.Promoted(model_id="m", environment="production", deployment_id="new", former_id="former")
    monkeypatch.setattr(PromoteDeploymentOperator, "_begin", lambda self, client, context: promoted)

    def finish(begun: deployments.Promoted, *, limits: Any) -> Flow[deployments.Promoted]:
        raise errors.DeploymentFailed("Deployment new failed.", hint=f"The former one, {begun.former_id}, answers.")
        yield

    monkeypatch.setattr(deployments, "finish_promotion", finish)
    ids = {"model_id": "m", "deployment_id": "new"}
    made = dag(lambda: PromoteDeploymentOperator(task_id="p", deployment=ids, deferrable=deferrable, retries=2))
    assert run(made, fails=True).tries == {"p": 1}
    assert "The former one, former, answers." in capfd.readouterr().out


def test_a_definition_may_be_made_when_the_task_runs_and_is_not_shown(client: Client) -> None:
    def build() -> None:
        train(config=lambda context: load_training_project(QUICK), source_dir=QUICK.parent, deferrable=False)

    made = dag(build)
    assert run(made).xcom("train")["phase"] == "done"
    shown = {field: getattr(made.task_dict["train"], field) for field in made.task_dict["train"].template_fields}
    assert shown["config"] is None


@both
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"training_timeout": 3}, "has not ended 3 s after its creation, and was stopped"),
        ({"max_runtime": timedelta(seconds=3)}, "s of running time are spent of 3 s, and job"),
    ],
)
def test_a_job_whose_time_is_up_is_stopped_and_the_error_says_so(
    client: Client, deferrable: bool, limit: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made = dag(lambda: train(deferrable=deferrable, environment_variables={"STEP_SECONDS": "60"}, retries=2, **limit))
    ended = run(made, fails=True)
    assert ended.tries == {"train": 1}
    (job,) = jobs_named(client, ended.key("train"))
    assert status_at_the_end(client, job) == "STOPPED"
    assert said in capfd.readouterr().out


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
        ("there is none", lambda: PromoteDeploymentOperator(task_id="p", deployment={}, expected=bool)),
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


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.ConfigFileError("no such file"), RetryAction.FAIL),
        (errors.DefinitionError("no such instance"), RetryAction.FAIL),
        (errors.RemoteError("no key"), RetryAction.FAIL),
        (errors.Unauthorized("401"), RetryAction.FAIL),
        (errors.Forbidden("403"), RetryAction.FAIL),
        (errors.Rejected("422"), RetryAction.FAIL),
        (errors.WaitTimeout("overdue"), RetryAction.FAIL),
        (errors.BudgetSpent("spent"), RetryAction.FAIL),
        (errors.RateLimited("429"), RetryAction.DEFAULT),
        (errors.ServerError("503"), RetryAction.DEFAULT),
        (errors.Unreachable("away"), RetryAction.DEFAULT),
        (errors.RunFailed("failed twice"), RetryAction.DEFAULT),
        (OSError("disk"), RetryAction.DEFAULT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_that_another_try_would_meet_again_end_the_task(error: Exception, action: RetryAction) -> None:
    assert train().retry_policy.evaluate(error, try_number=1, max_tries=3).action == action


@pytest.mark.parametrize("config", ["missing.py", __file__], ids=["no such file", "no definition"])
def test_a_bad_configuration_fails_at_once(platform: Any, config: str) -> None:
    assert run(dag(lambda: train(config=config, retries=3)), fails=True).tries == {"train": 1}


@pytest.mark.parametrize("status", [429, 503])
def test_an_api_that_is_too_busy_is_asked_again_by_the_next_try(
    client: Client, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    busy = iter(
        [errors.RateLimited("too many", status=429) if status == 429 else errors.ServerError("busy", status=503)]
    )
    take_up = TaskRun.take_up

    def sometimes(self: TaskRun, **arguments: Any) -> None:
        if error := next(busy, None):
            raise error
        take_up(self, **arguments)

    monkeypatch.setattr(TaskRun, "take_up", sometimes)
    ended = run(dag(lambda: train(deferrable=False, retries=1, retry_delay=timedelta(0))))
    assert ended.tries == {"train": 2}
    assert len(jobs_named(client, ended.key("train"))) == 1
