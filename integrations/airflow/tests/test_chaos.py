"""A DAG run whose process is killed at random calls, behind a proxy that loses, cuts and delays: nothing exists twice.

CHAOS_RUNS says how many DAG runs; each follows from its number.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from truss_train_core import Client
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.testing import Killings, LocalPlatform, doubles

RUNS = int(os.environ.get("CHAOS_RUNS", "1"))
DAG = Path(__file__).parent / "support" / "fast_dag.py"
CALLS = 40  # about as many as a DAG run without faults makes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, RUNS + 1))
def test_a_dag_run_that_is_killed_and_meets_faults_ends_with_one_job_and_one_deployment(
    client: Client, platform: LocalPlatform, seed: int
) -> None:
    before = {job.id for job in client.send(endpoints.search_jobs()).training_jobs}
    with Killings.started(platform.remote, seed=seed, calls=CALLS) as killings:
        remote = killings.proxy.remote
        connection = {"conn_type": "baseten", "host": remote.api_url, "password": remote.key.get_secret_value()}
        environment = {**os.environ, "AIRFLOW_CONN_BASETEN_DEFAULT": json.dumps(connection)}
        assert killings.until_it_ends([sys.executable, str(DAG), str(seed)], environment=environment)
    (job,) = (job for job in client.send(endpoints.search_jobs()).training_jobs if job.id not in before)
    assert job.succeeded
    assert doubles(client) == []
