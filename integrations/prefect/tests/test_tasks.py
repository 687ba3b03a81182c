"""The tasks: one job whatever happens to the flow run, resumed from a checkpoint, shown where people look."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from looking import artifacts_of, events_of, eventually, jobs_of_flow_run
from prefect import flow, runtime, unmapped
from project import BLOCK, CONFIG

from prefect_truss_train import (
    TrainingRun,
    choose_checkpoint,
    resume_training_job,
    stop_training_job,
    submit_training_job,
    train_and_deploy,
    wait_for_training_job,
)
from truss_train_core import Client
from truss_train_core.errors import ConfigFileError, JobFailed, RunFailed

pytestmark = pytest.mark.usefixtures("platform")


def test_a_retried_flow_run_takes_up_the_same_job(client: Client) -> None:
    ids = []

    @flow(retries=1)
    def interrupted_once() -> None:
        run = submit_training_job(CONFIG, credentials=BLOCK)
        ids.append((runtime.flow_run.id, run.job_id))
        if len(ids) == 1:
            raise RuntimeError("interrupted")
        stop_training_job(run)

    interrupted_once()
    assert ids[0] == ids[1]
    assert len(jobs_of_flow_run(client, ids[0][0])) == 1


def test_a_subflow_that_prefect_runs_anew_takes_up_the_same_job(client: Client) -> None:
    ids = []

    @flow
    def inner() -> None:
        run = submit_training_job(CONFIG, credentials=BLOCK)
        ids.append((runtime.flow_run.id, runtime.flow_run.root_flow_run_id, run.job_id))
        if len(ids) == 1:
            raise RuntimeError("interrupted")
        stop_training_job(run)

    @flow(retries=1)
    def outer() -> None:
        inner()

    outer()
    (first_id, root, first_job), (second_id, _, second_job) = ids
    assert first_id != second_id
    assert first_job == second_job
    assert len(jobs_of_flow_run(client, root)) == 1


def test_a_job_that_failed_is_resumed_from_its_newest_checkpoint() -> None:
    @flow
    def story() -> TrainingRun:
        run = submit_training_job(CONFIG, environment={"FAIL_AT": "2"}, credentials=BLOCK)
        with pytest.raises(JobFailed, match="the loss is not finite"):
            wait_for_training_job(run)
        run = wait_for_training_job(resume_training_job(run))
        return choose_checkpoint(run, "loss", "min")

    record = story().record
    assert [attempt.cause for attempt in record.attempts] == ["failed", "completed"]
    assert record.attempt.started_from.name == "checkpoint-2"
    assert record.choice.checkpoint.name == "checkpoint-2"  # by eval_loss, as the Trainer understands "loss"


def test_a_run_that_fails_twice_at_the_same_place_ends() -> None:
    @flow
    def story() -> None:
        run = submit_training_job(CONFIG, environment={"STEPS": "x"}, credentials=BLOCK)
        for _ in range(5):
            with pytest.raises(JobFailed):
                wait_for_training_job(run, follow_logs=False)
            run = resume_training_job(run)

    with pytest.raises(RunFailed, match="attempts 1 and 2 failed at the same place"):
        story()


def test_mapped_jobs_are_told_apart_by_their_inputs() -> None:
    @flow
    def sweep() -> list[TrainingRun]:
        tries = [{"STEPS": "2"}, {"STEPS": "3"}]
        runs = submit_training_job.map(unmapped(CONFIG), environment=tries, credentials=BLOCK)
        return wait_for_training_job.map(runs, follow_logs=False).result()

    first, second = sweep()
    assert first.job_id != second.job_id
    assert first.record.key[:10] == second.record.key[:10]


def test_what_cannot_work_is_refused_before_anything_is_created(client: Client, tmp_path: Path) -> None:
    ids = []

    @flow
    def story() -> None:
        ids.append(runtime.flow_run.id)
        submit_training_job(tmp_path / "missing.py", credentials=BLOCK)

    with pytest.raises(ConfigFileError):
        story()
    assert not jobs_of_flow_run(client, ids[0])


def test_a_flow_run_leaves_artifacts_and_events() -> None:
    state = train_and_deploy(CONFIG, credentials=BLOCK, metric="eval_loss", mode="min", return_state=True)
    flow_run_id: UUID = state.state_details.flow_run_id
    run = state.result()

    shown = artifacts_of(flow_run_id)
    assert set(shown) == {"job", "progress", "checkpoints", "loss", "summary"}
    assert shown["progress"].data == 100.0
    assert "step 4 of 4" in shown["progress"].description
    table = shown["checkpoints"].data
    assert [name for name in ("checkpoint-1", "checkpoint-2") if name in str(table)] == ["checkpoint-1", "checkpoint-2"]
    starred = [row for row in eventually(lambda: _rows(table)) if row["chosen"] == "★"]
    assert [(row["checkpoint"], row["eval_loss"]) for row in starred] == [("checkpoint-2", "0.5")]
    assert str(shown["loss"].data).startswith("data:image/svg+xml;base64,")
    assert "checkpoint-2" in shown["summary"].data
    assert run.job_name in shown["summary"].data

    def events_are_there() -> list[str]:
        names = [event["event"].removeprefix("truss-train.") for event in events_of(flow_run_id)]
        return names if "checkpoint.chosen" in names else []

    names = eventually(events_are_there)
    assert names[0] == "job.submitted"
    assert names.count("job.completed") == 1
    assert names.count("checkpoint.created") == 4


def _rows(table: object) -> list[dict[str, str]]:
    import json

    return json.loads(table) if isinstance(table, str) else table
