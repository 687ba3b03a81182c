"""The sweep that people copy, with the faults that it is for: a trial that fails, one of NaN, and a poor one."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from dag_runs import run

from airflow_provider_truss_train.run_page.reading import TaskId
from airflow_provider_truss_train.run_page.sweep import swept
from truss_train_core import Client, RunPlan, jobs, load_training_project, runs, sweeps
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parents[3]
TRIALS = ROOT / "tests" / "sweeps" / "trials" / "config.py"
WHEN = datetime(2026, 11, 24, tzinfo=timezone.utc)
RUN_ID = f"manual__{WHEN.isoformat()}"
"""What Airflow calls a run of that time."""


@pytest.fixture(scope="module")
def sweep() -> DAG:
    bag = DagBag(ROOT / "dags" / "airflow" / "sweep.py")
    assert not bag.import_errors
    return bag.dags["sweep"]


def conf(*behaviours: str) -> dict[str, Any]:
    return {"config": str(TRIALS), "space": {"BEHAVIOUR": list(behaviours)}, "samples": 0, "first_rung": 1}


def train_first(client: Client, number: int, behaviour: str) -> str:
    """Train for a trial of the DAG run before it begins: `dag.test` runs its trials one by one, in any order."""
    objective = sweeps.Objective(metric="eval_loss", mode="min")
    trial = sweeps.Trial(
        sweep=jobs.run_key("sweep", RUN_ID),
        number=number,
        of=4,
        parameters={"BEHAVIOUR": behaviour},
        objective=objective,
    )
    plan = RunPlan(project=trial.project(TRIALS), source_dir=TRIALS.parent, follow_logs=False)
    record = client.run(runs.run(plan, runs.new_record(plan, jobs.run_key("first"))))
    return record.attempt.job_id or ""


@pytest.mark.slow
def test_a_sweep_survives_its_faults_and_deploys_the_best_of_all(
    sweep: DAG, client: Client, platform: LocalPlatform
) -> None:
    first = train_first(client, 1, "better")
    ended = run(sweep, run_conf=conf("better", "fails", "nan", "poor"), run_after=WHEN)

    assert ended.run_id == RUN_ID
    records = [ended.xcom("train", map_index=index) for index in range(4)]
    causes = [record and record["attempts"][-1]["cause"] for record in records]
    assert causes == ["completed", None, "stopped early", "stopped early"]  # a failed task returns nothing
    best: Any = ended.xcom("best")
    assert (best["trial"], best["parameters"]) == (1, {"BEHAVIOUR": "better"})
    assert (best["checkpoint"]["training_job_id"], best["checkpoint"]["checkpoint_id"]) == (first, "checkpoint-3")
    assert ended.xcom("deploy")["status"] == "ACTIVE"

    page = swept(TaskId(ended.dag_id, ended.run_id, "best", -1))
    assert page
    assert page.problem is None
    assert {row["BEHAVIOUR"]: row["state"] for row in page.rows} == {
        "better": "completed",
        "fails": "failed",
        "nan": "stopped early",
        "poor": "stopped early",
    }
    assert page.rows[0]["trial"] == "★ 1"
    assert page.picture
    assert "★ trial 1: BEHAVIOUR=better" in page.picture
    job = client.run(jobs.find(records[3]["attempts"][0]["job_id"]))
    assert job.current_status == "TRAINING_JOB_STOPPED"


@pytest.mark.slow
def test_a_sweep_without_a_good_trial_deploys_nothing_and_shows_why(sweep: DAG, platform: LocalPlatform) -> None:
    ended = run(sweep, run_conf=conf("fails"), fails=True)
    assert (ended.states["best"], ended.states["deploy"]) == ("failed", "upstream_failed")
    page = swept(TaskId(ended.dag_id, ended.run_id, "best", -1))
    assert page
    assert "Nothing was chosen" in page.decision
    assert [row["state"] for row in page.rows] == ["failed"]


def test_the_digits_train_as_trials_of_the_pipeline(sweep: DAG) -> None:
    """What the pipeline tries by default are parameters that its training has."""
    made = sweep.params.dump()
    objective = sweeps.Objective(metric="eval_loss", mode="min")
    trials = sweeps.sample(made["space"], made["samples"], objective, key="0", seed=made["seed"])
    assert len(trials) == 9
    own = load_training_project(made["config"]).job.runtime.environment_variables
    assert set(trials[0].project(made["config"]).job.runtime.environment_variables) == set(own)
