"""The whole story as a flow, against a real platform and a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from looking import events_of, eventually
from prefect import flow
from prefect.exceptions import ParameterTypeError
from project import BLOCK, CONFIG

from prefect_truss_train import promote_deployment, train_and_deploy
from truss_train_core.deployments import Promoted
from truss_train_core.errors import DeploymentFailed
from truss_train_core.testing import LocalPlatform


def test_a_model_is_trained_chosen_deployed_and_asked(platform: LocalPlatform) -> None:
    state = train_and_deploy(
        CONFIG,
        credentials=BLOCK,
        metric="eval_loss",
        mode="min",
        deploy_config=CONFIG,
        question={"any": "thing"},
        dataset="s3://bucket/reviews",
        return_state=True,
    )
    run = state.result()
    assert run.record.choice.checkpoint.name == "checkpoint-2"
    assert json.loads(run.record.answer)["checkpoint"] == "checkpoint-2"

    def assets_are_there() -> dict[str, Any]:
        events = events_of(state.state_details.flow_run_id, "prefect.asset.materialization.succeeded")
        return {event["resource"]["prefect.resource.id"]: event for event in events} if len(events) > 1 else {}

    assets = eventually(assets_are_there)
    told = [each["event"] for each in events_of(state.state_details.flow_run_id, "truss-train.deployment.")]
    assert told[0] == "truss-train.deployment.created"
    assert told.count("truss-train.deployment.active") == 1
    checkpoint = f"baseten://training/{run.job_id}/checkpoint-2"
    model = f"baseten://models/{run.record.deployment.model_id}"
    assert set(assets) == {checkpoint, model}
    assert "s3://bucket/reviews" in json.dumps(assets[checkpoint]["related"])
    assert checkpoint in json.dumps(assets[model]["related"])
    assert assets[checkpoint]["payload"]["value"] == 0.5


def test_a_deployment_takes_the_place_of_the_former_one_if_it_passes_the_gate() -> None:
    story = {"metric": "eval_loss", "mode": "min", "deploy_config": CONFIG, "follow_logs": False}
    first = train_and_deploy(CONFIG, credentials=BLOCK, environment="production", **story)
    second = train_and_deploy(CONFIG, credentials=BLOCK, **story)

    @flow
    def behind_a_gate(wanted: str) -> Promoted:
        return promote_deployment(second, question={}, expected=lambda answer: answer["checkpoint"] == wanted)

    with pytest.raises(DeploymentFailed, match="did not pass a gate"):
        behind_a_gate("checkpoint-7")
    promoted = behind_a_gate("checkpoint-2")
    assert promoted.deployment_id == second.record.deployment.deployment_id
    assert promoted.former_id == first.record.deployment.deployment_id


def test_parameters_of_the_flow_are_validated_by_their_types() -> None:
    with pytest.raises(ParameterTypeError, match="mode"):
        train_and_deploy.validate_parameters({"config": CONFIG, "mode": "smallest"})
    assert train_and_deploy.validate_parameters({"config": CONFIG, "mode": "min"})["mode"] == "min"
