"""The environments of a model, stable names under which one of its deployments answers, and promotion to them.

A promotion is done as soon as it is asked for: a deployment that serves takes the place of the one before it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.local.server import deployments
from truss_train_core.local.server.answers import moment
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Environment
from truss_train_core.local.server.deployments import (
    PRODUCTION,
    deployment_in,
    find_deployment,
    find_environment,
    find_model,
)
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.problems import Problem, invalid
from truss_train_core.local.server.routes.models import (
    AUTOSCALING,
    NO_SETTINGS,
    DeploymentAnswer,
    deployment_answer,
)


class _EnvironmentAnswer(models.Environment):
    """An environment with the settings that the OpenAPI requires."""

    current_deployment: DeploymentAnswer | None
    instance_type: models.InstanceType
    autoscaling_settings: dict[str, Any] = AUTOSCALING
    promotion_settings: dict[str, Any] = NO_SETTINGS
    request_backpressure_settings: dict[str, Any] = NO_SETTINGS


class _EnvironmentsAnswer(models.Wire):
    environments: list[_EnvironmentAnswer]


class _UpdateAnswer(models.Wire):
    environment: _EnvironmentAnswer
    status: str = "UNCHANGED"
    message: str


class _Promote(BaseModel):
    scale_down_previous_production: bool = True


class _PromoteTo(BaseModel):
    deployment_id: str
    scale_down_previous_deployment: bool = True


class _Create(BaseModel):
    name: str = Field(pattern="^[A-Za-z0-9_-]{1,64}$")


class _Update(BaseModel):
    model_config = ConfigDict(extra="forbid")

    autoscaling_settings: dict[str, Any] | None = None
    autoscaling_schedule_settings: dict[str, Any] | None = None
    promotion_settings: dict[str, Any] | None = None
    request_backpressure_settings: dict[str, Any] | None = None


def list_environments(call: Call) -> Answer:
    model_id = call.path["model_id"]
    with call.platform.database.reading() as session:
        named = session.scalars(select(Environment.name).where(Environment.model_id == model_id))
        names = dict.fromkeys([PRODUCTION, *named])
        return _EnvironmentsAnswer(
            environments=[_environment(session, find_environment(session, model_id, name)) for name in names]
        )


def get_environment(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        return _environment(session, find_environment(session, call.path["model_id"], call.path["environment"]))


def create_environment(call: Call) -> Answer:
    name, model_id = call.body(_Create).name, call.path["model_id"]
    with call.platform.database.writing() as session:
        find_model(session, model_id)
        if name == PRODUCTION or session.get(Environment, (model_id, name)) is not None:
            raise invalid(f"name: model {model_id} has an environment {name!r} already.")
        environment = Environment(model_id=model_id, name=name, created_at=call.platform.now())
        session.add(environment)
        session.flush()
        return _environment(session, environment)


def update_environment(call: Call) -> Answer:
    """Nothing is changed, and the answer says so: one process serves each deployment, always."""
    call.body(_Update)
    with call.platform.database.reading() as session:
        environment = find_environment(session, call.path["model_id"], call.path["environment"])
        return _UpdateAnswer(
            environment=_environment(session, environment),
            message="The local platform serves each deployment with one process and promotes at once: there is "
            "nothing to set.",
        )


def delete_environment(call: Call) -> Answer:
    """Delete an environment; what answered there is scaled to zero, unless it answers elsewhere too."""
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        environment = find_environment(session, call.path["model_id"], call.path["environment"])
        if environment.name == PRODUCTION:
            raise invalid(f"Every model has {PRODUCTION!r}; it cannot be deleted.")
        deployments.delete_environment(platform, session, environment)
        return {"name": environment.name, "model_id": environment.model_id, "deleted": True}


def activate(call: Call) -> Answer:
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        deployments.activate(deployment_in(session, call.path["model_id"], call.path["environment"]))
    return {"success": True}


def deactivate(call: Call) -> Answer:
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        deployments.rest(platform, deployment_in(session, call.path["model_id"], call.path["environment"]))
    return {"success": True}


def cancel_promotion(call: Call) -> Answer:
    """400: a promotion is done as soon as it is asked for, so none is ever in progress."""
    with call.platform.database.reading() as session:
        name = find_environment(session, call.path["model_id"], call.path["environment"]).name
    raise Problem(400, f"Nothing is being promoted to {name!r}: on the local platform a promotion is done at once.")


def promote_to_environment(call: Call) -> Answer:
    wanted = call.body(_PromoteTo)
    return _promote(call, call.path["environment"], wanted.deployment_id, wanted.scale_down_previous_deployment)


def promote_to_production(call: Call) -> Answer:
    wanted = call.body(_Promote)
    return _promote(call, PRODUCTION, call.path["deployment_id"], wanted.scale_down_previous_production)


def _promote(call: Call, name: str, deployment_id: str, rest_former: bool) -> Answer:
    platform, model_id = call.platform, call.path["model_id"]
    with platform.lifecycle, platform.database.writing() as session:
        environment = find_environment(session, model_id, name)
        deployment = find_deployment(session, model_id, deployment_id)
        deployments.promote(platform, session, environment, deployment, rest_former=rest_former)
        return deployment_answer(session, deployment)


def _environment(session: Session, environment: Environment) -> _EnvironmentAnswer:
    current = environment.deployment_id
    deployment = find_deployment(session, environment.model_id, current) if current else None
    kinds = catalogue()
    return _EnvironmentAnswer(
        name=environment.name,
        model_id=environment.model_id,
        created_at=moment(environment.created_at),
        current_deployment=deployment_answer(session, deployment) if deployment else None,
        instance_type=kinds[deployment.instance_type] if deployment else next(iter(kinds.values())),
    )


_MODEL = "/v1/models/{model_id}"
_ENVIRONMENT = _MODEL + "/environments/{environment}"
ROUTES = (
    Route("GET", _MODEL + "/environments", list_environments),
    Route("POST", _MODEL + "/environments", create_environment),
    Route("GET", _ENVIRONMENT, get_environment),
    Route("PATCH", _ENVIRONMENT, update_environment),
    Route("DELETE", _ENVIRONMENT, delete_environment),
    Route("POST", _ENVIRONMENT + "/activate", activate),
    Route("POST", _ENVIRONMENT + "/deactivate", deactivate),
    Route("POST", _ENVIRONMENT + "/promote", promote_to_environment),
    Route("POST", _ENVIRONMENT + "/cancel_promotion", cancel_promotion),
    Route("POST", _MODEL + "/deployments/{deployment_id}/promote", promote_to_production),
)
