"""A flow run whose process is killed at random calls, behind a proxy that loses, cuts and delays: nothing exists twice.

CHAOS_RUNS says how many flow runs; each follows from its number.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from looking import jobs_of_flow_run
from prefect.client.orchestration import get_client
from project import CONFIG

from prefect_truss_train import BasetenCredentials, train_and_deploy
from truss_train_core import Client
from truss_train_core.testing import Killings, LocalPlatform, doubles

RUNS = int(os.environ.get("CHAOS_RUNS", "1"))
FLOW = Path(__file__).parent / "support" / "fast_flow.py"
CALLS = 40  # about as many as a flow run without faults makes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, RUNS + 1))
def test_a_flow_run_that_is_killed_and_meets_faults_ends_with_one_job_and_one_deployment(
    client: Client, platform: LocalPlatform, seed: int
) -> None:
    with Killings.started(platform.remote, seed=seed, calls=CALLS) as killings:
        BasetenCredentials(api_key=platform.remote.key, url=killings.proxy.url).save("chaos", overwrite=True)
        parameters = {"config": CONFIG, "credentials": "chaos", "deploy_config": CONFIG}
        with get_client(sync_client=True) as prefect:
            flow_run_id = prefect.create_flow_run(train_and_deploy, parameters=parameters).id
        assert killings.until_it_ends([sys.executable, str(FLOW), str(flow_run_id)])
    (job,) = jobs_of_flow_run(client, flow_run_id)
    assert job.succeeded
    assert doubles(client) == []
