"""dags/prefect/retrain.py: production is replaced by what is better, by a margin, and kept otherwise, and says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from looking import events_of, eventually, jobs_of_flow_run
from pipelines import FOLDER, pipeline
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Scheduled

from prefect_truss_train import BasetenCredentials
from prefect_truss_train.testing import PrefectServer
from truss_train_core import Client, deployments
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow
FAST = {"hidden": 16, "epochs": 1}
POOR = {**FAST, "learning_rate": 0.0001}


@pytest.fixture(scope="module")
def platform(server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """One where nothing answers yet: other tests promote the same model."""
    with LocalPlatform.started(tmp_path_factory.mktemp("retrain"), stop_grace=1.0) as running:
        yield running


@pytest.fixture(autouse=True)
def baseten(platform: LocalPlatform) -> None:
    """The block by the name that the pipeline uses."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)


def night(**params: Any) -> State:
    state = pipeline("retrain").retrain(**params, return_state=True)
    assert state.is_completed(), state.message
    return state


def answering(client: Client) -> str:
    found = client.run(deployments.answering("digits"))
    assert found
    return found.id


def test_production_is_replaced_by_what_is_better_and_kept_otherwise(client: Client) -> None:
    first = night(**POOR)
    assert first.name == "Promoted"
    assert "nothing answers yet that it could be compared with" in first.message
    promoted = first.result()
    assert answering(client) == promoted["deployment_id"]

    second = night(**FAST, learning_rate=0.1)
    assert second.name == "Promoted"
    assert second.result()["former_id"] == promoted["deployment_id"]
    assert "at least 0.01 more is wanted" in second.message
    served = client.run(deployments.checkpoint_of(client.run(deployments.answering("digits"))))
    assert served[1] == "checkpoint-756"  # it went on from the checkpoint-378 of the first night

    third = night(**POOR, margin=0.5)
    assert third.name == "Kept"
    kept = third.result()
    assert "at least 0.5 more is wanted" in kept["reason"]
    assert kept["deployment_id"] == second.result()["deployment_id"] == answering(client)
    refused = client.run(deployments.get(kept["model_id"], kept["refused_id"]))
    assert refused.is_dead or refused.status == "DEACTIVATING"
    told = eventually(lambda: events_of(third.state_details.flow_run_id, "truss-train.deployment.refused"))
    assert [each["payload"]["reason"] for each in told] == [kept["reason"]]


def test_missed_nights_are_one_run_and_a_run_beside_another_is_cancelled(client: Client) -> None:
    """Three nights in which nothing served the flow."""
    with get_client(sync_client=True) as prefect:
        with served():
            deployment = eventually(lambda: _deployment(), within=120)
        nights = [datetime.now(timezone.utc) - timedelta(days=days) for days in (3, 2, 1)]
        missed = [
            prefect.create_flow_run_from_deployment(
                deployment.id, parameters=FAST, state=Scheduled(scheduled_time=night)
            )
            for night in nights
        ]
        with served():
            eventually(lambda: all(each.state.is_final() for each in _again(missed)), within=240)
    states = [each.state for each in _again(missed)]
    assert sorted(state.type.value for state in states) == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert sorted(len(jobs_of_flow_run(client, each.id)) for each in missed) == [0, 0, 1]


@contextmanager
def served() -> Iterator[None]:
    """The file as people run it."""
    process = subprocess.Popen([sys.executable, FOLDER / "retrain.py"])
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _deployment() -> Any:
    with get_client(sync_client=True) as prefect:
        return next((each for each in prefect.read_deployments() if each.name == "nightly"), None)


def _again(runs: list[FlowRun]) -> list[FlowRun]:
    with get_client(sync_client=True) as prefect:
        return [prefect.read_flow_run(each.id) for each in runs]
