"""What a deployment came of, as it says itself."""

from __future__ import annotations

from typing import Any

import pytest

from truss_train_core import deployments
from truss_train_core.api.models import Deployment, DeploymentConfigAnswer
from truss_train_core.definitions import DeployCheckpointsConfig, DeployCheckpointsRuntime, SecretReference

VARIABLES: dict[str, Any] = {"HF_TOKEN": SecretReference(name="hf"), "DEBUG": "1"}
CONFIG = DeployCheckpointsConfig(model_name="digits", runtime=DeployCheckpointsRuntime(environment_variables=VARIABLES))


def told(deployment: Deployment, config: dict[str, Any] | None) -> dict[str, str]:
    """The labels of a deployment whose configuration the API answers with."""
    flow = deployments.labels(deployment)
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(DeploymentConfigAnswer(config=config))
    labels: dict[str, str] = end.value.value
    return labels


def deployment(**more: Any) -> Deployment:
    facts = {"id": "d1", "model_id": "m1", "name": "n", "status": "ACTIVE", "created_at": "2026-01-01T00:00:00Z"}
    return Deployment.model_validate({**facts, **more})


def test_labels_are_added_to_those_that_are_there_and_to_the_variables() -> None:
    labelled = deployments.with_labels(deployments.with_labels(CONFIG, {"dataset": "a", "by": "x"}), {"dataset": "b"})
    assert deployments.labels_of(labelled) == {"dataset": "b", "by": "x"}
    assert labelled.runtime
    variables = labelled.runtime.environment_variables
    assert {name: value for name, value in variables.items() if name != deployments.LABELS} == VARIABLES
    assert deployments.labels_of(CONFIG) == deployments.labels_of(DeployCheckpointsConfig()) == {}


def test_labels_are_read_from_what_a_deployment_was_made_from() -> None:
    labelled = deployments.with_labels(CONFIG, {"dataset_version": "v1"})
    assert labelled.runtime
    variables = labelled.runtime.environment_variables
    assert told(deployment(), {"environment_variables": variables}) == {"dataset_version": "v1"}
    assert told(deployment(labels={"team": 7}), {"environment_variables": variables}) == {
        "dataset_version": "v1",
        "team": "7",
    }


@pytest.mark.parametrize("held", ["no JSON", "[1]", "", None])
def test_what_holds_no_labels_has_none(held: str | None) -> None:
    assert told(deployment(), {"environment_variables": {deployments.LABELS: held}}) == {}
    assert told(deployment(), None) == {}
