"""dags/airflow/approve.py without a person: three are scored, one is promoted, and what fails its probes is put back.

What a person says is tested on a real Airflow, in test_standalone.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from dag_runs import Ended, pipeline_of, run

from truss_train_core import Client, deployments

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("platform")]
FAST = {"hidden": 16, "epochs": 4, "approval": False, "probe_seconds": 2, "probe_every": 1}


def approved(*, fails: bool = False, **params: Any) -> Ended:
    return run(pipeline_of("approve"), run_conf={**FAST, **params}, fails=fails)


def test_the_best_of_three_is_promoted_and_what_fails_its_probes_is_rolled_back(client: Client) -> None:
    good = approved(accuracy=0.3)
    assert good.states["approve"] == "skipped"  # nobody was asked
    ranked = [each["checkpoint"]["checkpoint_id"] for each in good.xcom("rank")]
    assert len(ranked) == 3
    chosen = good.xcom("choose")
    assert chosen["checkpoint"]["checkpoint_id"] in ranked
    assert chosen["reason"].endswith("is the largest of 3 usable of 4 checkpoints")
    promoted = good.xcom("promote")
    assert answering(client) == promoted["deployment_id"]
    assert good.xcom("watch")["outcome"] == "passed"
    assert good.xcom("watch")["probed"] >= 1

    bad = approved(epochs=1, hidden=8, accuracy=1.01, fails=True)
    assert bad.states["watch"] == "failed"
    assert bad.tries["watch"] == 1
    assert bad.xcom("promote")["former_id"] == promoted["deployment_id"] == answering(client)


def answering(client: Client) -> str:
    found = client.run(deployments.answering("digits"))
    assert found
    return found.id
