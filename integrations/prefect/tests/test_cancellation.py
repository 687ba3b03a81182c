"""A cancelled flow run stops its remote job; one that fails leaves it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looking import eventually, jobs_of_flow_run
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.states import Cancelling
from project import BLOCK, CONFIG

from prefect_truss_train import submit_training_job, wait_for_training_job, with_remote_cancellation
from truss_train_core import Client, jobs

pytestmark = pytest.mark.usefixtures("platform")


def test_a_cancel_is_noticed_without_a_runner_and_stops_the_job(client: Client, tmp_path: Path) -> None:
    ids, later = [], []

    @with_remote_cancellation(credentials=BLOCK)
    @flow
    def held() -> None:
        ids.append(runtime.flow_run.id)
        hold = {"HOLD_AT": f"1:{tmp_path / 'go'}"}
        wait_for_training_job(submit_training_job(CONFIG, environment=hold, credentials=BLOCK))
        later.append("reached")

    running = _in_thread(lambda: held(return_state=True))
    job = eventually(lambda: ids and jobs_of_flow_run(client, ids[0]))[0]
    with get_client(sync_client=True) as prefect:
        prefect.set_flow_run_state(ids[0], Cancelling(), force=True)
        running.join(timeout=60)
        assert not running.is_alive()
        assert prefect.read_flow_run(ids[0]).state.is_cancelled()
    assert not later
    assert eventually(lambda: client.run(jobs.get(job)).is_terminal)
    assert client.run(jobs.get(job)).current_status == "TRAINING_JOB_STOPPED"


def test_a_failed_flow_run_leaves_its_job_running(client: Client, tmp_path: Path) -> None:
    ids = []

    @with_remote_cancellation(credentials=BLOCK)
    @flow
    def fails() -> None:
        ids.append(runtime.flow_run.id)
        submit_training_job(CONFIG, environment={"HOLD_AT": f"1:{tmp_path / 'go'}"}, credentials=BLOCK)
        raise RuntimeError("for another reason")

    fails(return_state=True)
    (job,) = jobs_of_flow_run(client, ids[0])
    assert not job.is_terminal
    client.run(jobs.stop(job))


def _in_thread(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread
