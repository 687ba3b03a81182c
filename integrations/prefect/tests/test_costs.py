"""What it costs: one poll for all waits of a process, and an import that hardly shows."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from looking import eventually
from prefect import flow, unmapped
from prefect.task_runners import ThreadPoolTaskRunner
from project import BLOCK, CONFIG

from prefect_truss_train import submit_training_job, wait_for_training_job
from prefect_truss_train.credentials import SHARE
from truss_train_core import Client, jobs
from truss_train_core.testing import Faulty, LocalPlatform

JOBS = 200
SEARCH = "POST /v1/training_jobs/search"


@pytest.mark.slow
def test_two_hundred_mapped_waits_cost_one_poll_per_interval(
    client: Client, platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counting = Faulty()
    shared = Client(platform.remote, share=SHARE, transport=counting)
    monkeypatch.setattr("prefect_truss_train.training_run.client_for", lambda remote: shared)
    spans = []

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=JOBS))
    def sweep() -> None:
        hold = f"1:{tmp_path / 'never'}"
        tries = [{"HOLD_AT": hold, "SEED": str(seed)} for seed in range(JOBS)]
        submitted = submit_training_job.map(unmapped(CONFIG), environment=tries, credentials=BLOCK)
        runs = submitted.result()
        counting.calls.clear()
        began = time.monotonic()
        waits = wait_for_training_job.map(runs, follow_logs=False, return_state=False)
        eventually(lambda: counting.calls.count(SEARCH) >= 5)
        spans.append((time.monotonic() - began, list(counting.calls)))
        for job in client.run(jobs.find_active("")):
            client.run(jobs.stop(job))
        for wait in waits:
            wait.wait()

    sweep(return_state=True)
    seconds, calls = spans[0]
    assert calls.count(SEARCH) <= seconds / SHARE + 2
    assert len(calls) - calls.count(SEARCH) <= JOBS  # each job is fetched once when its wait begins


def test_a_flow_file_that_imports_this_costs_hardly_more_than_one_that_does_not() -> None:
    code = """
import time
began = time.process_time()
from prefect import flow
@flow
def own(parameter: int): ...
prefect = time.process_time() - began
from prefect_truss_train import (
    BasetenCredentials, choose_checkpoint, deploy_checkpoint, on_new_dataset, resume_training_job, submit_training_job,
    train_and_deploy, wait_for_deployment, wait_for_training_job, with_remote_cancellation,
)
print((time.process_time() - began) / prefect)
"""
    ratios = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
        for _ in range(3)
    ]
    assert statistics.median(ratios) < 1.05
