"""Models, their deployments, and the environments in which those answer."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.api.models import DeploymentStatus
from truss_train_core.local.server import answers, deployments
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Deployment, Environment, Model, Team
from truss_train_core.local.server.deployments import (
    PRODUCTION,
    find_deployment,
    find_environment,
    find_model,
)
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.problems import invalid
from truss_train_core.local.server.routes.observations import LogQuery, read_logs

_NO_SETTINGS: dict[str, Any] = {}
_AUTOSCALING = {
    "autoscaling_window": None,
    "concurrency_target": 1,
    "max_replica": 1,
    "min_replica": 1,
    "scale_down_delay": None,
    "target_utilization_percentage": None,
}
"""One process each, always: nothing scales on one machine."""


class _DeploymentAnswer(models.Deployment):
    """A deployment with the settings that the OpenAPI requires."""

    autoscaling_settings: dict[str, Any] = _AUTOSCALING
    request_backpressure_settings: dict[str, Any] = _NO_SETTINGS


class _DeploymentsAnswer(models.Wire):
    deployments: list[_DeploymentAnswer]


class _EnvironmentAnswer(models.Wire):
    name: str
    model_id: str
    created_at: datetime
    current_deployment: _DeploymentAnswer | None
    instance_type: models.InstanceType
    autoscaling_settings: dict[str, Any] = _AUTOSCALING
    promotion_settings: dict[str, Any] = _NO_SETTINGS
    request_backpressure_settings: dict[str, Any] = _NO_SETTINGS


class _EnvironmentsAnswer(models.Wire):
    environments: list[_EnvironmentAnswer]


class _ConfigQuery(BaseModel):
    output_format: Literal["raw", "parsed", "both"] = "parsed"


class _Promote(BaseModel):
    scale_down_previous_production: bool = True


class _PromoteTo(BaseModel):
    deployment_id: str
    scale_down_previous_deployment: bool = True


class _CreateEnvironment(BaseModel):
    name: str = Field(pattern="^[A-Za-z0-9_-]{1,64}$")


# ---------------------------------------------------------------- models


def list_models(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        found = session.scalars(select(Model).where(~Model.deleted).order_by(Model.created_at.desc()))
        answers_ = [_model(session, model) for model in found if call.query.get("name") in (None, model.name)]
    return models.ModelsAnswer(models=answers_)


def get_model(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        return _model(session, find_model(session, call.path["model_id"]))


def delete_model(call: Call) -> Answer:
    """Delete a model with its deployments; their processes are stopped."""
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        model = find_model(session, call.path["model_id"])
        deployments.delete_model(platform, session, model)
        return answers.Deleted(id=model.id)


def _model(session: Session, model: Model) -> models.Model:
    all_of_it = list(session.scalars(_deployments_of(model.id)))
    newest = all_of_it[0] if all_of_it else None
    return models.Model(
        id=model.id,
        name=model.name,
        created_at=_time(model.created_at),
        deployments_count=len(all_of_it),
        production_deployment_id=find_environment(session, model.id, PRODUCTION).deployment_id,
        instance_type_name=catalogue()[newest.instance_type].name if newest else "",
        team_name=session.get_one(Team, model.team_id).name,
    )


# ---------------------------------------------------------------- deployments


def list_deployments(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        model = find_model(session, call.path["model_id"])
        found = session.scalars(_deployments_of(model.id))
        wanted = call.query.get("name")
        return _DeploymentsAnswer(
            deployments=[_deployment(session, one) for one in found if wanted in (None, one.name)]
        )


def get_deployment(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        return _deployment(session, _named(call, session))


def delete_deployment(call: Call) -> Answer:
    """Delete a deployment; its process is stopped."""
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        deployment = _named(call, session)
        deployments.delete_deployment(platform, session, deployment)
        return {"id": deployment.id, "deleted": True, "model_id": deployment.model_id}


def activate(call: Call) -> Answer:
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        deployments.activate(_named(call, session))
    return {"success": True}


def deactivate(call: Call) -> Answer:
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        deployments.rest(platform, _named(call, session))
    return {"success": True}


def get_config(call: Call) -> Answer:
    """The truss configuration a deployment stands for; raw, it is JSON, which is YAML too."""
    wanted = call.options(_ConfigQuery).output_format
    with call.platform.database.reading() as session:
        config = _named(call, session).config
    return models.DeploymentConfigAnswer(
        config=None if wanted == "raw" else config,
        raw_config=None if wanted == "parsed" else json.dumps(config, indent=2),
    )


def get_logs(call: Call) -> Answer:
    return _logs(call, call.options(LogQuery))


def post_logs(call: Call) -> Answer:
    return _logs(call, call.body(LogQuery))


def _logs(call: Call, query: LogQuery) -> Answer:
    with call.platform.database.reading() as session:
        deployment = _named(call, session)
    directory = call.platform.data.deployment(deployment.id)
    return models.LogsAnswer(logs=read_logs(directory, query, call.platform.now()))


def _named(call: Call, session: Session) -> Deployment:
    return find_deployment(session, call.path["model_id"], call.path["deployment_id"])


def _deployments_of(model_id: str) -> Select[Deployment]:
    of_it = select(Deployment).where(Deployment.model_id == model_id, ~Deployment.deleted)
    return of_it.order_by(Deployment.seq.desc())


def _deployment(session: Session, deployment: Deployment) -> _DeploymentAnswer:
    environment = session.scalar(select(Environment.name).where(Environment.deployment_id == deployment.id))
    return _DeploymentAnswer(
        id=deployment.id,
        model_id=deployment.model_id,
        name=deployment.name,
        status=deployment.status,
        created_at=_time(deployment.created_at),
        environment=environment,
        is_production=environment == PRODUCTION,
        active_replica_count=int(deployment.status == DeploymentStatus.ACTIVE),
        instance_type_name=catalogue()[deployment.instance_type].name,
    )


# ---------------------------------------------------------------- environments


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
    name, model_id = call.body(_CreateEnvironment).name, call.path["model_id"]
    with call.platform.database.writing() as session:
        find_model(session, model_id)
        if name == PRODUCTION or session.get(Environment, (model_id, name)) is not None:
            raise invalid(f"name: model {model_id} has an environment {name!r} already.")
        environment = Environment(model_id=model_id, name=name, created_at=call.platform.now())
        session.add(environment)
        session.flush()
        return _environment(session, environment)


def delete_environment(call: Call) -> Answer:
    """Remove an environment; the deployment that answered there goes on."""
    with call.platform.database.writing() as session:
        environment = find_environment(session, call.path["model_id"], call.path["environment"])
        if environment.name == PRODUCTION:
            raise invalid(f"Every model has {PRODUCTION!r}; it cannot be removed.")
        session.delete(environment)
        return {"name": environment.name, "model_id": environment.model_id, "deleted": True}


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
        return _deployment(session, deployment)


def _environment(session: Session, environment: Environment) -> _EnvironmentAnswer:
    current = environment.deployment_id
    deployment = find_deployment(session, environment.model_id, current) if current else None
    kinds = catalogue()
    return _EnvironmentAnswer(
        name=environment.name,
        model_id=environment.model_id,
        created_at=_time(environment.created_at),
        current_deployment=_deployment(session, deployment) if deployment else None,
        instance_type=kinds[deployment.instance_type] if deployment else next(iter(kinds.values())),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


_MODEL = "/v1/models/{model_id}"
_DEPLOYMENT = _MODEL + "/deployments/{deployment_id}"
_ENVIRONMENT = _MODEL + "/environments/{environment}"
ROUTES = (
    Route("GET", "/v1/models", list_models),
    Route("GET", _MODEL, get_model),
    Route("DELETE", _MODEL, delete_model),
    Route("GET", _MODEL + "/deployments", list_deployments),
    Route("GET", _DEPLOYMENT, get_deployment),
    Route("DELETE", _DEPLOYMENT, delete_deployment),
    Route("POST", _DEPLOYMENT + "/activate", activate),
    Route("POST", _DEPLOYMENT + "/deactivate", deactivate),
    Route("POST", _DEPLOYMENT + "/promote", promote_to_production),
    Route("GET", _DEPLOYMENT + "/config", get_config),
    Route("GET", _DEPLOYMENT + "/logs", get_logs),
    Route("POST", _DEPLOYMENT + "/logs", post_logs),
    Route("GET", _MODEL + "/environments", list_environments),
    Route("POST", _MODEL + "/environments", create_environment),
    Route("GET", _ENVIRONMENT, get_environment),
    Route("DELETE", _ENVIRONMENT, delete_environment),
    Route("POST", _ENVIRONMENT + "/promote", promote_to_environment),
)
