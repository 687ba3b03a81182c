"""dags/airflow/retrain.py: production is replaced by what is better, by a margin, and kept otherwise, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dag_runs import Ended, pipeline_of, run

from truss_train_core import Client, deployments
from truss_train_core.testing import LocalPlatform

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("platform")]
FAST = {"hidden": 16, "epochs": 1}
POOR = {**FAST, "learning_rate": 0.0001}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """One where nothing answers yet: other tests promote the same model."""
    with LocalPlatform.started(tmp_path_factory.mktemp("retrain"), capacity={"CPU": 64}, stop_grace=2.0) as running:
        yield running


@pytest.fixture(scope="module")
def nights() -> list[Ended]:
    """What has been, night by night."""
    return []


def night(**params: Any) -> Ended:
    return run(pipeline_of("retrain"), run_conf={**FAST, **params})


def answering(client: Client) -> str:
    found = client.run(deployments.answering("digits"))
    assert found
    return found.id


def test_the_first_night_begins_from_nothing_and_is_promoted(client: Client, nights: list[Ended]) -> None:
    ended = night(**POOR)
    assert ended.xcom("production") is None
    promoted = ended.xcom("promote")
    assert promoted["former_id"] is None
    assert "nothing answers yet that it could be compared with" in promoted["reason"]
    assert answering(client) == promoted["deployment_id"]
    nights.append(ended)


def test_what_is_better_begins_from_production_and_takes_its_place(client: Client, nights: list[Ended]) -> None:
    before = nights[-1].xcom("promote")["deployment_id"]
    ended = night(learning_rate=0.1)
    served = nights[-1].xcom("choose")["checkpoint"]
    assert ended.xcom("production") == {
        "job_id": served["training_job_id"], "name": served["checkpoint_id"], "step": nights[-1].xcom("choose")["step"]
    }  # fmt: skip
    assert ended.xcom("choose")["step"] == 2 * nights[-1].xcom("choose")["step"]  # it went on from there
    promoted = ended.xcom("promote")
    assert promoted["former_id"] == before
    assert f"that of {before}, which answers now; at least 0.01 more is wanted" in promoted["reason"]
    assert answering(client) == promoted["deployment_id"]
    nights.append(ended)


def test_what_is_no_better_is_let_go_and_production_kept_and_the_task_says_why(
    client: Client, nights: list[Ended]
) -> None:
    ended = night(**POOR, margin=0.5)
    assert ended.states["promote"] == "skipped"
    kept = ended.xcom("promote")
    assert kept["deployment_id"] == nights[-1].xcom("promote")["deployment_id"] == answering(client)
    assert kept["refused_id"] == ended.xcom("deploy")["deployment_id"]
    assert "at least 0.5 more is wanted" in kept["reason"]
    refused = client.run(deployments.get(kept["model_id"], kept["refused_id"]))
    assert refused.is_dead or refused.status == "DEACTIVATING"
