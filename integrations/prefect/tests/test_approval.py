"""A person's word before a checkpoint is deployed."""

from __future__ import annotations

import threading

import pytest
from looking import eventually
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.flow_runs import resume_flow_run
from project import BLOCK, CONFIG

from prefect_truss_train import (
    NotApproved,
    TrainingRun,
    ask_for_approval,
    choose_checkpoint,
    submit_training_job,
    wait_for_training_job,
)

pytestmark = pytest.mark.usefixtures("platform")


@pytest.mark.slow
@pytest.mark.parametrize("word", [{"approved": True}, {"approved": False, "comment": "too small"}])
def test_a_flow_run_waits_for_a_persons_word(word: dict[str, object]) -> None:
    ids, approvals = [], []

    @flow
    def story() -> TrainingRun:
        ids.append(runtime.flow_run.id)
        run = submit_training_job(CONFIG, credentials=BLOCK)
        run = choose_checkpoint(wait_for_training_job(run, follow_logs=False), "eval_loss", "min")
        approvals.append(ask_for_approval(run, timeout=120))
        approvals.append(ask_for_approval(run, timeout=120))  # as a flow run that is retried would: asked once
        return run

    thread, outcome = _in_thread(story)
    eventually(lambda: ids and _is_paused(ids[0]))
    resume_flow_run(ids[0], run_input=word)
    thread.join(timeout=60)
    assert not thread.is_alive()
    if word["approved"]:
        assert isinstance(outcome[0], TrainingRun)
        assert [each.approved for each in approvals] == [True, True]
    else:
        assert isinstance(outcome[0], NotApproved)
        assert "too small" in str(outcome[0])
        assert not approvals


def _is_paused(flow_run_id: str) -> bool:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id).state.is_paused()


def _in_thread(story) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(story())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome
