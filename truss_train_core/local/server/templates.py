"""Deployments of checkpoints as the current client asks for them: the server fills a template (seen on the wire)."""

from __future__ import annotations

import json
import os
import shutil
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from truss_train_core.api.models import DeploymentStatus, InferenceTemplateResult, InferenceTemplateVersion
from truss_train_core.definitions import LocalServer, SecretReference
from truss_train_core.local.server.database import Deployment, Model, Project, new_id
from truss_train_core.local.server.deployments import say, weights_root
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.job_specs import resolve_environment
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import invalid
from truss_train_core.local.server.references import complete_checkpoint
from truss_train_core.local.server.truss_configs import Deployed, Server, local_server, truss_config


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Metadata(_Request):
    oracle_name: str


class _Checkpoint(_Request):
    training_job_id: str
    checkpoint_name: str


class _TrainingSource(_Request):
    checkpoint: _Checkpoint


class _WeightsSource(_Request):
    weight_source_type: str
    b10_training_checkpoint_weights_source: _TrainingSource | None = None


class _Variable(_Request):
    name: str
    value: str
    is_secret_reference: bool = False


class _Stack(_Request):
    stack_type: Literal["VLLM"] = "VLLM"
    environment_variables: list[_Variable] = []


class TemplateRequest(_Request):
    """A request to serve checkpoints, as the current client sends it (seen on the wire)."""

    metadata: _Metadata
    weights_sources: list[_WeightsSource]
    inference_stack: _Stack = _Stack()
    instance_type_id: str
    dry_run: bool = False

    @property
    def environment(self) -> dict[str, str | SecretReference]:
        return {
            one.name: SecretReference(name=one.value) if one.is_secret_reference else one.value
            for one in self.inference_stack.environment_variables
        }


def create_from_template(
    platform: Platform, session: Session, request: TemplateRequest, given: LocalServer | None
) -> InferenceTemplateResult:
    """Deploy checkpoints under the model of the request's name, which is made where there is none.

    Raises:
        Problem: 400: a checkpoint, a secret or the instance type is missing, or these checkpoints do not go together.
    """
    machine = catalogue().get(request.instance_type_id)
    if machine is None:
        raise invalid(f"instance_type_id: there is no instance type {request.instance_type_id!r}.")
    deployed = _deployed(platform, session, request)
    team_id = session.get_one(Project, deployed[0].project_id).team_id
    resolve_environment(session, team_id, request.environment)
    name = request.metadata.oracle_name or deployed[0].checkpoint.name
    config = truss_config(name, deployed, machine, request.environment)
    if request.dry_run:
        return InferenceTemplateResult(model_version=None, truss_config=json.dumps(config))
    deployment_id = new_id()
    server = local_server(
        deployed, given, _programs(platform), str(weights_root(platform, deployment_id)), request.environment
    )
    model = session.scalar(select(Model).where(Model.name == name, Model.team_id == team_id, ~Model.deleted))
    if model is None:
        model = Model(name=name, team_id=team_id, created_at=platform.now())
        session.add(model)
        session.flush()
    before = session.scalar(select(func.count()).select_from(Deployment).where(Deployment.model_id == model.id)) or 0
    deployment = Deployment(
        id=deployment_id, model_id=model.id, name=f"deployment-{before + 1}", created_at=platform.now(),
        status=DeploymentStatus.BUILDING, instance_type=machine.id, config=config,
        weights=[
            {"project_id": one.project_id, "job_id": one.job_id, "checkpoint_name": one.checkpoint.name}
            for one in deployed
        ],
        server=server.model_dump(mode="json") if isinstance(server, Server) else None,
    )  # fmt: skip
    if isinstance(server, str):
        deployment.status = DeploymentStatus.DEPLOY_FAILED
        say(platform, deployment_id, server)
    session.add(deployment)
    session.flush()
    version = InferenceTemplateVersion(id=deployment_id, name=deployment.name, model_id=model.id)
    return InferenceTemplateResult(model_version=version, truss_config=json.dumps(config))


def _deployed(platform: Platform, session: Session, request: TemplateRequest) -> list[Deployed]:
    deployed = []
    for source in request.weights_sources:
        if source.b10_training_checkpoint_weights_source is None:
            raise invalid(f"weights_sources: the local platform does not serve {source.weight_source_type}.")
        wanted = source.b10_training_checkpoint_weights_source.checkpoint
        job, stored = complete_checkpoint(session, platform.data, wanted.training_job_id, wanted.checkpoint_name)
        deployed.append(Deployed(job.project_id, job.id, stored))
    if not deployed:
        raise invalid("weights_sources: there is no checkpoint to deploy.")
    if len(deployed) > 1 and any(one.checkpoint.kind != "lora" for one in deployed):
        raise invalid("weights_sources: only LoRA checkpoints can be deployed together; deploy others alone.")
    return deployed


def _programs(platform: Platform) -> dict[str, str]:
    path = f"{platform.python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = {name: shutil.which(name, path=path) for name in ("vllm", "transformers")}
    return {name: program for name, program in found.items() if program}
