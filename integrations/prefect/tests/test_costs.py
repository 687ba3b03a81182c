"""What it costs: one poll for all waits of a process, and an import of little."""

from __future__ import annotations

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


def test_importing_the_names_of_a_flow_file_loads_none_of_what_only_runs_need() -> None:
    code = """
import sys
from prefect import flow, task
from prefect.blocks.abstract import CredentialsBlock
before = set(sys.modules)
from prefect_truss_train import (
    BasetenCredentials, choose_checkpoint, deploy_checkpoint, on_new_dataset, resume_training_job, submit_training_job,
    train_and_deploy, wait_for_deployment, wait_for_training_job, with_remote_cancellation,
)
print(*sorted(set(sys.modules) - before))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    of_the_core = {name for name in answer if name.startswith("truss_train_core")}
    assert of_the_core <= {"truss_train_core", "truss_train_core.api", "truss_train_core.api.clock"}
    unwanted = {"httpx", "obstore", "tenacity", "prefect.artifacts", "prefect.assets", "prefect_truss_train.artifacts"}
    assert not unwanted & set(answer)
