"""The sensors: they wait for what something else has begun, deferred and not."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import BaseSensorOperator
from dag_runs import QUICK, dag, run, status_at_the_end

from airflow_provider_truss_train.operators import ChooseCheckpointOperator, DeployCheckpointOperator
from airflow_provider_truss_train.operators import SubmitTrainingJobOperator as Submit
from airflow_provider_truss_train.sensors import CheckpointSensor, DeploymentSensor, ProbationSensor, TrainingJobSensor
from truss_train_core import Client, jobs

both = pytest.mark.parametrize("deferrable", [True, False])


def submit(**variables: str) -> Submit:
    return Submit(task_id="submit", config=QUICK, environment_variables=variables)


def sensor(kind: type, **arguments: Any) -> Any:
    return kind(task_id="sensor", poke_interval=0.5, **{"timeout": 60, **arguments})


@both
def test_a_job_is_waited_for(client: Client, deferrable: bool) -> None:
    ended = run(dag(lambda: sensor(TrainingJobSensor, run=submit().output, deferrable=deferrable)))
    assert ended.xcom("sensor")["status"] == "TRAINING_JOB_COMPLETED"


@both
def test_a_job_that_fails_fails_the_sensor(client: Client, deferrable: bool, capfd: pytest.CaptureFixture[str]) -> None:
    made = dag(lambda: sensor(TrainingJobSensor, run=submit(FAIL_AT="2").output, deferrable=deferrable))
    run(made, fails=True)
    assert "JobFailed" in capfd.readouterr().out


@both
def test_a_checkpoint_is_waited_for(client: Client, deferrable: bool) -> None:
    made = dag(lambda: sensor(CheckpointSensor, run=submit(STEP_SECONDS="1").output, step=2, deferrable=deferrable))
    found = run(made).xcom("sensor")
    assert (found["name"], found["step"]) == ("checkpoint-2", 2)


@both
def test_a_sensor_whose_time_is_up_leaves_the_job_alone(client: Client, deferrable: bool) -> None:
    made = dag(
        lambda: sensor(
            TrainingJobSensor, run=submit(STEP_SECONDS="3").output, timeout=1, deferrable=deferrable, retries=2
        )
    )
    ended = run(made, fails=True)
    assert ended.tries["sensor"] == 1
    job = client.run(jobs.find(ended.xcom("submit")["attempts"][0]["job_id"]))
    assert not job.is_terminal
    client.run(jobs.stop(job))
    assert status_at_the_end(client, job) == "STOPPED"


@both
def test_a_deployment_is_waited_for(client: Client, deferrable: bool) -> None:
    def build() -> None:
        record = submit().output
        trained = TrainingJobSensor(task_id="trained", run=record, timeout=60, poke_interval=0.5)
        chosen = ChooseCheckpointOperator(task_id="choose", run=record)
        deployed = DeployCheckpointOperator(task_id="deploy", checkpoint=chosen.output, config=QUICK).output
        trained >> chosen
        sensor(
            DeploymentSensor,
            deployment=deployed,
            deferrable=deferrable,
        )

    assert run(dag(build)).xcom("sensor")["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("mode", "every", "seconds"), [("reschedule", "1", 10.0), ("reschedule", "60", 60.0), ("poke", "1", 1.0)]
)
def test_a_probe_in_another_process_follows_no_sooner_than_the_scheduler_has_heard_of_the_end_of_the_last(
    monkeypatch: pytest.MonkeyPatch, mode: str, every: str, seconds: float
) -> None:
    monkeypatch.setattr(BaseSensorOperator, "execute", lambda self, context: self.poke_interval)
    probation: Any = ProbationSensor(task_id="watch", promoted={}, probes=[], every=every, mode=mode)
    assert probation.execute({}) == seconds
