"""A DAG run whose process is killed at random calls, behind a proxy that loses, cuts and delays: nothing exists twice.

CHAOS_RUNS says how many DAG runs; each follows from its number.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from truss_train_core import Client
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.testing import Fault, FaultProxy, LocalPlatform, doubles, seeded

RUNS = int(os.environ.get("CHAOS_RUNS", "1"))
DAG = Path(__file__).parent / "support" / "fast_dag.py"
CALLS = 40  # about as many as a DAG run without faults makes
PROCESSES = 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, RUNS + 1))
def test_a_dag_run_that_is_killed_and_meets_faults_ends_with_one_job_and_one_deployment(
    client: Client, platform: LocalPlatform, seed: int
) -> None:
    chance, usual = random.Random(seed), seeded(seed, rate=0.05)
    deaths = {(first := chance.randint(1, CALLS)): "lost", first + chance.randint(1, CALLS): "reset"}
    workers: list[subprocess.Popen[bytes]] = []

    def decide(number: int, method: str, path: str) -> Fault | None:
        how = deaths.get(number)
        return Fault(how, then=workers[-1].kill) if how else usual(number, method, path)

    before = {job.id for job in client.send(endpoints.search_jobs()).training_jobs}
    with FaultProxy.started(platform.remote, decide) as proxy:
        connection = {"conn_type": "baseten", "host": proxy.url, "password": platform.remote.key.get_secret_value()}
        environment = {**os.environ, "AIRFLOW_CONN_BASETEN_DEFAULT": json.dumps(connection)}
        for _ in range(PROCESSES):
            workers.append(subprocess.Popen([sys.executable, str(DAG), str(seed)], env=environment))
            if workers[-1].wait(timeout=300) != -signal.SIGKILL:
                break

    assert [worker.returncode for worker in workers] == [-signal.SIGKILL] * (len(workers) - 1) + [0]
    assert len(workers) > 1
    (job,) = (job for job in client.send(endpoints.search_jobs()).training_jobs if job.id not in before)
    assert job.succeeded
    assert doubles(client) == []
