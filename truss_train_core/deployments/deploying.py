"""Deploying checkpoints exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, send
from truss_train_core.api.models import Deployment, DeploymentStatus, InferenceTemplateResult
from truss_train_core.definitions import DeployCheckpointsConfig
from truss_train_core.deployments.instances import choose_instance
from truss_train_core.deployments.requests import Served, asked_for, check, labelled, served_by, template_request
from truss_train_core.errors import (
    NotFound,
    UnexpectedAnswer,
)
from truss_train_core.events import DeploymentAdopted, DeploymentCreated, Notice
from truss_train_core.once import create_once


def deploy(config: DeployCheckpointsConfig) -> Flow[Deployment]:
    """Deploy checkpoints, or adopt a live deployment of this model that serves exactly these, whatever it runs on.

    May be killed at any point and called again. See `once.py`. It does not serve yet: see `wait_until_serving`.

    Args:
        config: what to deploy, as which model, on what. `runtime.local_server` goes to local platforms only.

    Raises:
        DefinitionError: the definition lacks something, or no instance type fits. Nothing was created.
        ApiError, Unreachable, AnswerLost: calling again is safe.
    """
    check(config)
    wanted, name = asked_for(config), config.model_name or ""
    once = yield from create_once(
        look=lambda: _look(name, wanted),
        prepare=lambda: _prepare(config),
        create=lambda request: _create(config, request),
        drop=drop,
    )
    deployment = once.value
    event = DeploymentCreated if once.created else DeploymentAdopted
    yield from emit(event(model_id=deployment.model_id, model_name=name, deployment_id=deployment.id))
    return deployment


def preview(config: DeployCheckpointsConfig) -> Flow[InferenceTemplateResult]:
    """What the server would make of a definition: its truss configuration as JSON text. Nothing is created.

    Raises:
        DefinitionError: the definition lacks something, or no instance type fits.
    """
    check(config)
    request = yield from _prepare(config)
    answer = yield from send(endpoints.deploy_checkpoints({**request, "dry_run": True}, _local_server(config)))
    return answer.create_model_version_from_inference_template


def deactivate(deployment: Deployment) -> Flow[None]:
    """Let a deployment serve no longer; it then costs nothing. Doing so twice does no more than once."""
    yield from send(endpoints.deactivate_deployment(deployment.model_id, deployment.id))


def describe(deployment: Deployment) -> str:
    """What to call a deployment in a message."""
    return f"deployment {deployment.id} of model {deployment.model_id}"


# ---------------------------------------------------------------- exactly once


def _look(model_name: str, wanted: Served) -> Flow[Deployment | None]:
    """The oldest live deployment of this model that serves what is wanted and nothing else."""
    models = [each for each in (yield from send(endpoints.list_models())).models if each.name == model_name]
    for model in models:
        listed = yield from send(endpoints.list_deployments(model.id))
        for deployment in sorted(listed.deployments, key=lambda each: (each.created_at, each.id)):
            if is_live(deployment) and (yield from _serves(deployment, wanted)):
                return deployment
    return None


def is_live(deployment: Deployment) -> bool:
    """Whether a deployment serves, or will, unless something is done about it."""
    return not deployment.is_dead and deployment.status != DeploymentStatus.DEACTIVATING


def _serves(deployment: Deployment, wanted: Served) -> Flow[bool]:
    if labelled(deployment, wanted):
        return True
    try:
        answer = yield from send(endpoints.get_deployment_config(deployment.model_id, deployment.id))
    except NotFound:
        return False  # deleted since it was listed
    return served_by(answer.config) == wanted


def _prepare(config: DeployCheckpointsConfig) -> Flow[dict[str, Any]]:
    assert config.compute is not None
    listed = yield from send(endpoints.list_instances())
    return template_request(config, choose_instance(config.compute, listed.listed_instances).id)


def _create(config: DeployCheckpointsConfig, request: Mapping[str, Any]) -> Flow[Deployment]:
    answer = yield from send(endpoints.deploy_checkpoints(request, _local_server(config)))
    version = answer.create_model_version_from_inference_template.model_version
    if version is None:
        raise UnexpectedAnswer(f"model {config.model_name!r}: the answer to its deployment names no deployment.")
    created_at = datetime.fromtimestamp((yield from now()), timezone.utc)
    return Deployment(
        id=version.id,
        model_id=version.model_id,
        name=version.name,
        status=DeploymentStatus.BUILDING,
        created_at=created_at,
    )


def drop(newer: Deployment, stays: Deployment) -> Flow[None]:
    """Deactivate a deployment because an older one serves the same, and say so."""
    yield from deactivate(newer)
    yield from emit(Notice(about=describe(newer), text=f"was deactivated: {stays.id}, which is older, serves the same"))


def _local_server(config: DeployCheckpointsConfig) -> dict[str, Any] | None:
    server = config.runtime.local_server if config.runtime else None
    return server.model_dump(mode="json") if server else None
