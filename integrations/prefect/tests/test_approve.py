"""dags/prefect/approve.py: three are scored, a person decides or is not asked, and what fails is put back."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from looking import eventually
from pipelines import pipeline
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_runs import resume_flow_run

from prefect_truss_train import BasetenCredentials
from truss_train_core import Client, deployments
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow
FAST = {"hidden": 16, "epochs": 4, "probe_seconds": 2, "probe_every": 1}


@pytest.fixture(autouse=True)
def baseten(platform: LocalPlatform) -> None:
    """The block by the name that the pipeline uses."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)


def answering(client: Client) -> str | None:
    found = client.run(deployments.answering("digits"))
    return found.id if found else None


def test_what_is_promoted_without_a_word_and_fails_its_probes_is_rolled_back(client: Client) -> None:
    good = pipeline("approve").approve(**FAST, approval=False, accuracy=0.3, return_state=True)
    assert good.is_completed(), good.message
    watched = good.result()
    assert (watched["outcome"], watched["answers"]) == ("passed", answering(client))
    assert watched["probed"] >= 1

    bad = pipeline("approve").approve(**{**FAST, "epochs": 1}, approval=False, accuracy=1.01, return_state=True)
    assert bad.is_failed()
    assert f"The former one, {watched['answers']}, answers again" in bad.message
    assert answering(client) == watched["answers"]


@pytest.mark.parametrize("approved", [True, False])
def test_a_person_decides(client: Client, approved: bool) -> None:
    before, outcome = answering(client), in_thread(hidden=16, epochs=2, probe_seconds=0, accuracy=0.0)
    run_id = eventually(paused, within=240)
    resume_flow_run(run_id, run_input={"approved": approved, "comment": "as I see it"})
    state = eventually(lambda: outcome and outcome[0], within=120)
    assert state.is_completed(), state.message
    if approved:
        assert state.result()["answers"] == answering(client) != before
    else:
        assert state.name == "Rejected"
        assert "as I see it" in state.message
        assert answering(client) == before


def in_thread(**params: Any) -> list[State]:
    """The state in which a flow run ends, once it has."""
    states: list[State] = []
    run = lambda: states.append(pipeline("approve").approve(**params, return_state=True))  # noqa: E731
    threading.Thread(target=run, daemon=True).start()
    return states


def paused() -> Any:
    """The newest flow run that waits for a person."""
    waiting = FlowRunFilter(state={"type": {"any_": ["PAUSED"]}})
    with get_client(sync_client=True) as prefect:
        runs = prefect.read_flow_runs(flow_run_filter=waiting, sort=FlowRunSort.START_TIME_DESC)
    return runs[0].id if runs else None
