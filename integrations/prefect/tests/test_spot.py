"""The pipelines for spot capacity and for several nodes, with what befalls such trainings."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from looking import jobs_of_flow_run
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.sorting import ArtifactSort

from prefect_truss_train import BasetenCredentials
from truss_train_core import Client
from truss_train_core.errors import BudgetSpent, RunFailed
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).parents[3]
QUICK = str(ROOT / "tests" / "cli" / "quick" / "config.py")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _baseten(platform: LocalPlatform) -> None:
    """The block by the name that the pipelines use."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)


def pipeline(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "dags" / "prefect" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(flow_run_id: UUID) -> list[dict[str, Any]]:
    """The rows of the report as it was in the end; it is an artifact of the flow run within."""
    with get_client(sync_client=True) as client:
        within = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))
        (subflow,) = client.read_flow_runs(flow_run_filter=within)
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[subflow.id])),
            sort=ArtifactSort.CREATED_DESC,
        )
    newest = next(each for each in artifacts if (each.key or "").endswith("-report"))
    rows: list[dict[str, Any]] = json.loads(str(newest.data))
    return rows


def test_three_preemptions_are_resumed_and_reported_with_what_they_cost(
    platform: LocalPlatform, client: Client
) -> None:
    with platform.reclaiming("quick", 3) as taken:
        state = pipeline("spot").spot(config=QUICK, variables={"TAKEN_AWAY": "3"}, return_state=True)
    assert state.result() == "checkpoint-3"
    jobs = jobs_of_flow_run(client, state.state_details.flow_run_id)
    assert [job.id for job in jobs[:3]] == taken
    assert len(jobs) == 4
    assert {job.availability_model for job in jobs} == {"spot"}
    *attempts, total = rows_of(state.state_details.flow_run_id)
    assert [row["ended"] for row in attempts] == ["preempted"] * 3 + ["completed"]
    assert [row["from"] for row in attempts] == ["the start", "checkpoint-1", "checkpoint-2", "checkpoint-3"]
    assert total["ended"] == "3 preempted"
    assert all(float(total[cost]) > 0 for cost in ("cost", "lost cost"))


def test_near_the_deadline_it_trains_on_dedicated_capacity(client: Client) -> None:
    state = pipeline("spot").spot(config=QUICK, hours=2, hours_undisturbed=3, return_state=True)
    assert state.result() == "checkpoint-3"
    (job,) = jobs_of_flow_run(client, state.state_details.flow_run_id)
    assert job.availability_model == "dedicated"


@pytest.mark.parametrize(
    ("limit", "said"),
    [({"max_cost": 5, "spot_price": 3600}, "of 5.00 that may be spent"), ({"hours": 20 / 3600}, "has passed")],
)
def test_a_job_that_costs_too_much_or_is_late_is_stopped(client: Client, limit: dict[str, float], said: str) -> None:
    variables = {"TAKEN_AWAY": "1"}
    state = pipeline("spot").spot(
        config=QUICK, variables=variables, **{"hours_undisturbed": 0, **limit}, return_state=True
    )
    with pytest.raises(BudgetSpent, match=said):
        state.result()
    (job,) = jobs_of_flow_run(client, state.state_details.flow_run_id)
    assert job.current_status == "TRAINING_JOB_STOPPED"
    assert rows_of(state.state_details.flow_run_id)[0]["ended"] == "stopped"


def test_preempted_more_often_than_is_allowed_it_fails(platform: LocalPlatform) -> None:
    with platform.reclaiming("quick", 2):
        state = pipeline("spot").spot(config=QUICK, variables={"TAKEN_AWAY": "2"}, max_preemptions=1, return_state=True)
    with pytest.raises(RunFailed, match="max_preemptions is 1"):
        state.result()


def test_two_nodes_are_preempted_and_each_goes_on_from_its_shard(platform: LocalPlatform, client: Client) -> None:
    variables = {"EPOCHS": "12", "STEPS_PER_EPOCH": "1500"}
    with platform.reclaiming("two-nodes", 1) as taken:
        state = pipeline("multi_node").multi_node(variables=variables, return_state=True)
    assert state.result().startswith("checkpoint-")
    first, second = jobs_of_flow_run(client, state.state_details.flow_run_id)
    assert taken == [first.id]
    assert (second.node_count, second.current_status) == (2, "TRAINING_JOB_COMPLETED")
    assert [row["ended"] for row in rows_of(state.state_details.flow_run_id)][:2] == ["preempted", "completed"]
