"""Models and their deployments."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.api.models import LOG_DEFAULT_WINDOW_MILLIS, DeploymentStatus
from truss_train_core.local.server import answers, deployments
from truss_train_core.local.server.answers import moment
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Deployment, Environment, Model, Team
from truss_train_core.local.server.deployments import (
    PRODUCTION,
    find_deployment,
    find_environment,
    find_model,
)
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.problems import Problem, invalid
from truss_train_core.local.server.routes.observations import EpochMillis, LogQuery, read_logs
from truss_train_core.local.server.routes.secrets import team_of

NO_SETTINGS: dict[str, Any] = {}
"""What the API tells of settings of which none is made."""
AUTOSCALING = {
    "autoscaling_window": None,
    "concurrency_target": 1,
    "max_replica": 1,
    "min_replica": 1,
    "scale_down_delay": None,
    "target_utilization_percentage": None,
}
"""One process each, always: nothing scales on one machine."""


class DeploymentAnswer(models.Deployment):
    """A deployment with the settings that the OpenAPI requires."""

    autoscaling_settings: dict[str, Any] = AUTOSCALING
    request_backpressure_settings: dict[str, Any] = NO_SETTINGS


class _DeploymentsAnswer(models.Wire):
    deployments: list[DeploymentAnswer]


class _RetryAnswer(models.RetryAnswer):
    deployment: DeploymentAnswer


class _LogQuery(LogQuery):
    """With the filters that the logs of a job do not have; none of them is served."""

    replica: Any = None
    request_id: Any = None
    component: Any = None
    search_pattern: Any = None
    includes: Any = None
    excludes: Any = None


class _ConfigQuery(BaseModel):
    output_format: Literal["raw", "parsed", "both"] = "both"


class _MetricsQuery(BaseModel):
    mode: Literal["CURRENT", "SUMMARY", "SERIES"] = "CURRENT"
    start_epoch_millis: EpochMillis | None = None
    end_epoch_millis: EpochMillis | None = None


# ---------------------------------------------------------------- models


def list_models(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        of_team = [Model.team_id == team_of(call, session).id] if "team_id" in call.path else []
        found = session.scalars(select(Model).where(~Model.deleted, *of_team).order_by(Model.created_at.desc()))
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
        created_at=moment(model.created_at),
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
            deployments=[deployment_answer(session, one) for one in found if wanted in (None, one.name)]
        )


def get_deployment(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        return deployment_answer(session, _named(call, session))


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


def retry(call: Call) -> Answer:
    """Serve a deployment again that has failed."""
    platform = call.platform
    with platform.lifecycle, platform.database.writing() as session:
        deployment = _named(call, session)
        reason = deployments.retry(deployment)
        return _RetryAnswer(
            retried=reason is None, reason=reason, deployment=deployment_answer(session, deployment)
        )  # fmt: skip


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
    query = call.asked(_LogQuery)
    unserved = sorted(name for name in _LogQuery.model_fields.keys() - LogQuery.model_fields if getattr(query, name))
    if unserved:
        raise Problem(501, f"The local platform does not filter the logs of a deployment by {', '.join(unserved)}.")
    with call.platform.database.reading() as session:
        deployment = _named(call, session)
    directory = call.platform.data.deployment(deployment.id)
    return models.LogsAnswer(logs=read_logs(directory, query, call.platform.now()))


def get_metrics(call: Call) -> Answer:
    """No series: nothing is measured of deployments."""
    query = call.options(_MetricsQuery)
    end = int(call.platform.now() * 1000) if query.end_epoch_millis is None else query.end_epoch_millis
    start = end - LOG_DEFAULT_WINDOW_MILLIS if query.start_epoch_millis is None else query.start_epoch_millis
    if start > end:
        raise invalid("start_epoch_millis: it is after the end.")
    with call.platform.database.reading() as session:
        _named(call, session)
    in_steps = query.mode == "SERIES"
    return {
        "mode": query.mode,
        "start_epoch_millis": start,
        "end_epoch_millis": end,
        "step_seconds": 60 if in_steps else None,
        "metric_descriptors": [],
        "metric_values": [] if in_steps else [{"start_epoch_millis": start, "values": []}],
    }


def _named(call: Call, session: Session) -> Deployment:
    return find_deployment(session, call.path["model_id"], call.path["deployment_id"])


def _deployments_of(model_id: str) -> Select[Deployment]:
    of_it = select(Deployment).where(Deployment.model_id == model_id, ~Deployment.deleted)
    return of_it.order_by(Deployment.seq.desc())


def deployment_answer(session: Session, deployment: Deployment) -> DeploymentAnswer:
    """A deployment as the API tells of it."""
    environment = session.scalar(select(Environment.name).where(Environment.deployment_id == deployment.id))
    return DeploymentAnswer(
        id=deployment.id,
        model_id=deployment.model_id,
        name=deployment.name,
        status=deployment.status,
        created_at=moment(deployment.created_at),
        environment=environment,
        is_production=environment == PRODUCTION,
        active_replica_count=int(deployment.status == DeploymentStatus.ACTIVE),
        instance_type_name=catalogue()[deployment.instance_type].name,
    )


_MODEL = "/v1/models/{model_id}"
_DEPLOYMENT = _MODEL + "/deployments/{deployment_id}"
ROUTES = (
    Route("GET", "/v1/models", list_models),
    Route("GET", "/v1/teams/{team_id}/models", list_models),
    Route("GET", _MODEL, get_model),
    Route("DELETE", _MODEL, delete_model),
    Route("GET", _MODEL + "/deployments", list_deployments),
    Route("GET", _DEPLOYMENT, get_deployment),
    Route("DELETE", _DEPLOYMENT, delete_deployment),
    Route("POST", _DEPLOYMENT + "/activate", activate),
    Route("POST", _DEPLOYMENT + "/deactivate", deactivate),
    Route("POST", _DEPLOYMENT + "/retry", retry),
    Route("GET", _DEPLOYMENT + "/config", get_config),
    Route("GET", _DEPLOYMENT + "/logs", get_logs),
    Route("POST", _DEPLOYMENT + "/logs", get_logs),
    Route("GET", _DEPLOYMENT + "/metrics", get_metrics),
)
