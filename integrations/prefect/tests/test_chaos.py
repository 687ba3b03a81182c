"""A flow run whose process is killed at random calls, behind a proxy that loses, cuts and delays: nothing exists twice.

CHAOS_RUNS says how many flow runs; each follows from its number.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from looking import jobs_of_flow_run
from prefect.client.orchestration import get_client
from project import CONFIG

from prefect_truss_train import BasetenCredentials, train_and_deploy
from truss_train_core import Client
from truss_train_core.testing import Fault, FaultProxy, LocalPlatform, doubles, seeded

RUNS = int(os.environ.get("CHAOS_RUNS", "1"))
FLOW = Path(__file__).parent / "support" / "fast_flow.py"
CALLS = 40  # about as many as a flow run without faults makes
PROCESSES = 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, RUNS + 1))
def test_a_flow_run_that_is_killed_and_meets_faults_ends_with_one_job_and_one_deployment(
    client: Client, platform: LocalPlatform, seed: int
) -> None:
    chance, usual = random.Random(seed), seeded(seed, rate=0.05)
    deaths = {(first := chance.randint(1, CALLS)): "lost", first + chance.randint(1, CALLS): "reset"}
    flows: list[subprocess.Popen[bytes]] = []

    def decide(number: int, method: str, path: str) -> Fault | None:
        how = deaths.get(number)
        return Fault(how, then=flows[-1].kill) if how else usual(number, method, path)

    with FaultProxy.started(platform.remote, decide) as proxy:
        BasetenCredentials(api_key=platform.remote.key, url=proxy.url).save("chaos", overwrite=True)
        parameters = {"config": CONFIG, "credentials": "chaos", "deploy_config": CONFIG}
        with get_client(sync_client=True) as prefect:
            flow_run_id = prefect.create_flow_run(train_and_deploy, parameters=parameters).id
        for _ in range(PROCESSES):
            flows.append(subprocess.Popen([sys.executable, str(FLOW), str(flow_run_id)]))
            if flows[-1].wait(timeout=300) != -signal.SIGKILL:
                break

    assert [flow.returncode for flow in flows] == [-signal.SIGKILL] * (len(flows) - 1) + [0]
    assert len(flows) > 1
    (job,) = jobs_of_flow_run(client, flow_run_id)
    assert job.succeeded
    assert doubles(client) == []
