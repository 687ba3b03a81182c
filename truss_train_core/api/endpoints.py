"""The endpoints of the management API, each written once, as a function that returns a `Request`.

Paths, bodies and answers are the OpenAPI's; where the current client is known to send something else, its form is
used. Calls that create something without a key of their own are marked as not repeatable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from truss_train_core.api import models
from truss_train_core.api.request import Request
from truss_train_core.api.rereading import JobsReader

T = TypeVar("T", bound=models.Wire)


def _project(project_id: str) -> str:
    return f"/v1/training_projects/{project_id}"


def _job(project_id: str, job_id: str) -> str:
    return f"{_project(project_id)}/jobs/{job_id}"


def _deployment(model_id: str, deployment_id: str) -> str:
    return f"/v1/models/{model_id}/deployments/{deployment_id}"


def _environment(model_id: str, name: str) -> str:
    return f"/v1/models/{model_id}/environments/{quote(name, safe='')}"


def _of_team(team_id: str | None, what: str) -> str:
    return f"/v1/teams/{team_id}/{what}" if team_id else f"/v1/{what}"


def _graphql(answer: type[T]) -> Callable[[bytes], T]:
    def read(body: bytes) -> T:
        return answer.model_validate(json.loads(body)["data"])

    return read


# ---------------------------------------------------------------- projects


def list_projects() -> Request[models.ProjectsAnswer]:
    """All projects that the key can see, each with its latest job."""
    return Request("GET", "/v1/training_projects", models.ProjectsAnswer.model_validate_json, "training projects")


def upsert_project(body: Mapping[str, Any], team_id: str | None = None) -> Request[models.ProjectAnswer]:
    """The project of this name, made if there is none. `body` holds `name` and perhaps `team_name`."""
    return Request(
        "POST", _of_team(team_id, "training_projects"), models.ProjectAnswer.model_validate_json,
        f"project {body.get('name')!r}", body={"training_project": body},
    )  # fmt: skip


def get_project(project_id: str) -> Request[models.ProjectAnswer]:
    return Request("GET", _project(project_id), models.ProjectAnswer.model_validate_json, f"project {project_id}")


def delete_project(project_id: str) -> Request[bytes]:
    """Delete a project, its jobs and its cache."""
    return Request("DELETE", _project(project_id), bytes, f"project {project_id}")


def cache_summary(project_id: str) -> Request[models.CacheSummary]:
    """The files in a project's cache, as its newest job left them."""
    return Request(
        "GET", f"{_project(project_id)}/cache/summary", models.CacheSummary.model_validate_json,
        f"cache of project {project_id}",
    )  # fmt: skip


# ---------------------------------------------------------------- jobs


def upload_credentials() -> Request[models.UploadCredentials]:
    """Temporary keys, bucket and key for one archive. Each call names a new key, so repeating it costs nothing."""
    return Request(
        "GET",
        "/v1/blobs/credentials/train",
        models.UploadCredentials.model_validate_json,
        "upload credentials",
    )


def create_job(project_id: str, body: Mapping[str, Any]) -> Request[models.JobAnswer]:
    """Create a job. There is no idempotency key: after a lost answer, look for the job by its name."""
    return Request(
        "POST", f"{_project(project_id)}/jobs", models.JobAnswer.model_validate_json,
        f"new job {body.get('name') or ''} in project {project_id}",
        body={"training_job": body}, repeatable=False,
    )  # fmt: skip


def list_jobs(project_id: str) -> Request[models.ProjectJobsAnswer]:
    """All jobs of a project; not paged."""
    return Request(
        "GET", f"{_project(project_id)}/jobs", models.ProjectJobsAnswer.model_validate_json,
        f"jobs of project {project_id}",
    )  # fmt: skip


def get_job(project_id: str, job_id: str) -> Request[models.JobAnswer]:
    return Request("GET", _job(project_id, job_id), models.JobAnswer.model_validate_json, f"job {job_id}")


def search_jobs(search: models.SearchJobs | None = None) -> Request[models.JobsAnswer]:
    """Jobs by status, project or id, over all projects of the account."""
    search = search or models.SearchJobs()
    return Request(
        "POST", "/v1/training_jobs/search", models.JobsAnswer.model_validate_json, "training jobs",
        body=search.model_dump(mode="json"),
    )  # fmt: skip


def active_jobs(project_id: str | None = None) -> Request[models.JobsAnswer]:
    """The jobs that wait or run, of one project or of the account: one question for everyone who waits."""
    search = models.SearchJobs(statuses=list(models.JobStatus.ACTIVE), project_id=project_id)
    return replace(search_jobs(search), shared=True, reader=JobsReader)


def update_job(
    project_id: str, job_id: str, *, priority: int | None = None, availability_model: str | None = None
) -> Request[models.JobAnswer]:
    """Change what the queue goes by, while a job is pending. None leaves a field as it is.

    The OpenAPI lists `priority` alone; `availability_model` ("dedicated", "spot") is seen on the wire.
    """
    changes = {"priority": priority, "availability_model": availability_model}
    return Request(
        "PATCH", _job(project_id, job_id), models.JobAnswer.model_validate_json, f"job {job_id}",
        body={name: value for name, value in changes.items() if value is not None},
    )  # fmt: skip


def recreate_job(project_id: str, job_id: str) -> Request[models.JobAnswer]:
    """Create a job of the same definition and archives. It is as little repeatable as `create_job`."""
    return Request(
        "POST", f"{_job(project_id, job_id)}/recreate", models.JobAnswer.model_validate_json,
        f"new job like {job_id}", body={}, repeatable=False,
    )  # fmt: skip


def stop_job(project_id: str, job_id: str) -> Request[models.JobAnswer]:
    """Stop a job; stopping a stopped one again changes nothing."""
    return Request(
        "POST",
        f"{_job(project_id, job_id)}/stop",
        models.JobAnswer.model_validate_json,
        f"job {job_id}",
        body={},
    )


def delete_job(project_id: str, job_id: str) -> Request[bytes]:
    """Stop and delete a job, and those of its checkpoints that are not deployed."""
    return Request("DELETE", _job(project_id, job_id), bytes, f"job {job_id}")


def download_job(project_id: str, job_id: str) -> Request[models.DownloadAnswer]:
    """Presigned addresses of the archives that a job was made from."""
    return Request(
        "GET", f"{_job(project_id, job_id)}/download", models.DownloadAnswer.model_validate_json,
        f"archives of job {job_id}",
    )  # fmt: skip


def job_logs(
    project_id: str,
    job_id: str,
    *,
    start_epoch_millis: int | None = None,
    end_epoch_millis: int | None = None,
    direction: str | None = None,
    limit: int | None = None,
    min_level: str | None = None,
) -> Request[models.LogsAnswer]:
    """A window of a job's log: at most 7 days and 1,000 lines; without a start, the half hour before the end."""
    query: dict[str, str | int | None] = {
        "start_epoch_millis": start_epoch_millis,
        "end_epoch_millis": end_epoch_millis,
        "direction": direction,
        "limit": limit,
        "min_level": min_level,
    }
    return Request(
        "GET", f"{_job(project_id, job_id)}/logs", models.LogsAnswer.model_validate_json, f"logs of job {job_id}",
        query=query,
    )  # fmt: skip


def job_metrics(
    project_id: str,
    job_id: str,
    *,
    start_epoch_millis: int | None = None,
    end_epoch_millis: int | None = None,
    step_seconds: int | None = None,
) -> Request[models.MetricsAnswer]:
    query: dict[str, str | int | None] = {
        "start_epoch_millis": start_epoch_millis,
        "end_epoch_millis": end_epoch_millis,
        "step_seconds": step_seconds,
    }
    return Request(
        "GET", f"{_job(project_id, job_id)}/metrics", models.MetricsAnswer.model_validate_json,
        f"metrics of job {job_id}", query=query,
    )  # fmt: skip


# ---------------------------------------------------------------- checkpoints


def list_checkpoints(project_id: str, job_id: str) -> Request[models.CheckpointsAnswer]:
    """All checkpoints of a job, in no promised order."""
    return Request(
        "GET", f"{_job(project_id, job_id)}/checkpoints", models.CheckpointsAnswer.model_validate_json,
        f"checkpoints of job {job_id}",
    )  # fmt: skip


def list_checkpoint_files(
    project_id: str, job_id: str, *, page_token: int | None = None, page_size: int = 1000
) -> Request[models.CheckpointFilesAnswer]:
    """One page of the files of all checkpoints of a job, with presigned addresses that live seven days."""
    return Request(
        "GET", f"{_job(project_id, job_id)}/checkpoint_files", models.CheckpointFilesAnswer.model_validate_json,
        f"checkpoint files of job {job_id}", query={"page_token": page_token, "page_size": page_size},
    )  # fmt: skip


def download(url: str, about: str) -> Request[bytes]:
    """The content behind a presigned address. For small files: it is held in memory."""
    return Request("GET", url, bytes, about, to="url")


def beginning(url: str, about: str, size: int) -> Request[bytes]:
    """The first `size` bytes of the content behind a presigned address, or all where it has fewer."""
    return Request("GET", url, bytes, about, to="url", headers={"Range": f"bytes=0-{size - 1}"})


# ---------------------------------------------------------------- capacity and the queue


def get_capacity() -> Request[models.CapacityAnswer]:
    """GPUs by type: how many there are for the organization and its teams, and how many are in use."""
    return Request("GET", "/v1/training/capacity", models.CapacityAnswer.model_validate_json, "training capacity")


def set_team_capacity(team_id: str, gpu_type: str, max_gpus: int) -> Request[models.TeamCapacityAnswer]:
    """Set how many GPUs of a type a team may use at once. For admins of the organization."""
    return Request(
        "PATCH", "/v1/training/capacity", models.TeamCapacityAnswer.model_validate_json,
        f"{gpu_type} capacity of team {team_id}",
        body={"team_id": team_id, "gpu_type": gpu_type, "max_gpus": max_gpus},
    )  # fmt: skip


def queue_context(job_id: str) -> Request[models.QueueContext]:
    """Why a job waits, or waited. For admins of the organization."""
    return Request(
        "GET", f"/v1/training/jobs/{job_id}/queue_context", models.QueueContext.model_validate_json,
        f"queue of job {job_id}",
    )  # fmt: skip


# ---------------------------------------------------------------- interactive sessions


def auth_codes(project_id: str, job_id: str) -> Request[models.AuthCodesAnswer]:
    """How to sign in to the interactive sessions of a job; empty until they are there."""
    return Request(
        "GET", f"{_job(project_id, job_id)}/auth_codes", models.AuthCodesAnswer.model_validate_json,
        f"auth codes of job {job_id}",
    )  # fmt: skip


def update_interactive_session(
    project_id: str, job_id: str, session_id: str, *, timeout_minutes: int | None = None, trigger: str | None = None
) -> Request[models.InteractiveSessionAnswer]:
    """Change a session. None leaves a field as it is.

    `timeout_minutes` are added to what is left, -1 for ten years (OpenAPI); a call that adds them is not repeatable.
    `trigger` is "on_startup", "on_failure" or "on_demand".
    """
    changes = {"timeout_minutes": timeout_minutes, "trigger": trigger}
    return Request(
        "PATCH", f"{_job(project_id, job_id)}/interactive_sessions/{session_id}",
        models.InteractiveSessionAnswer.model_validate_json, f"interactive session {session_id} of job {job_id}",
        body={name: value for name, value in changes.items() if value is not None},
        repeatable=timeout_minutes is None,
    )  # fmt: skip


def sign_ssh_key(project_id: str, job_id: str, public_key: str, replica_id: str) -> Request[models.SSHCertificate]:
    """A short-lived certificate with which the owner of a key may log in to a replica ("0") of a job."""
    return Request(
        "POST", f"{_job(project_id, job_id)}/ssh/sign", models.SSHCertificate.model_validate_json,
        f"SSH certificate for replica {replica_id} of job {job_id}",
        body={"public_key": public_key, "replica_id": replica_id},
    )  # fmt: skip


# ---------------------------------------------------------------- models and deployments

_INSTANCES = """query Instances { listedInstances: listed_instances { id name millicpuLimit: millicpu_limit
 memoryLimit: memory_limit gpuCount: gpu_count gpuType: gpu_type nodeCount: node_count } }"""

_CREATE_FROM_TEMPLATE = """mutation ($request: CreateModelVersionFromInferenceTemplateRequest!) {
 create_model_version_from_inference_template(request: $request) {
 model_version { id name model_id } truss_config } }"""


def list_instances() -> Request[models.ListedInstancesAnswer]:
    """Instance types as the current client lists them before it deploys."""
    return Request(
        "POST", "/graphql/", _graphql(models.ListedInstancesAnswer), "instance types",
        body={"query": _INSTANCES}, to="graphql",
    )  # fmt: skip


def deploy_checkpoints(
    request: Mapping[str, Any], local_server: Mapping[str, Any] | None = None
) -> Request[models.CreateFromTemplateAnswer]:
    """Create a deployment from checkpoints. GraphQL only, without a key of its own, so never repeated.

    `local_server` says how a local platform serves the checkpoint; it travels in the `extensions` of the GraphQL
    request, and only to a local platform.
    """
    return Request(
        "POST", "/graphql/", _graphql(models.CreateFromTemplateAnswer),
        f"deployment of model {request.get('metadata', {}).get('oracle_name')!r}",
        body={"query": _CREATE_FROM_TEMPLATE, "variables": {"request": request}},
        repeatable=bool(request.get("dry_run")), to="graphql", timeout=120.0,
        local_extension={"extensions": {"local_server": local_server}} if local_server else None,
    )  # fmt: skip


def list_models(team_id: str | None = None) -> Request[models.ModelsAnswer]:
    return Request("GET", _of_team(team_id, "models"), models.ModelsAnswer.model_validate_json, "models")


def get_model(model_id: str) -> Request[models.Model]:
    return Request("GET", f"/v1/models/{model_id}", models.Model.model_validate_json, f"model {model_id}")


def delete_model(model_id: str) -> Request[bytes]:
    """Delete a model with its deployments."""
    return Request("DELETE", f"/v1/models/{model_id}", bytes, f"model {model_id}")


def list_deployments(model_id: str) -> Request[models.DeploymentsAnswer]:
    return Request(
        "GET", f"/v1/models/{model_id}/deployments", models.DeploymentsAnswer.model_validate_json,
        f"deployments of model {model_id}",
    )  # fmt: skip


def get_deployment(model_id: str, deployment_id: str) -> Request[models.Deployment]:
    """A deployment. "production" and "development" are ids too, here and below (OpenAPI)."""
    return Request(
        "GET", _deployment(model_id, deployment_id), models.Deployment.model_validate_json,
        f"deployment {deployment_id} of model {model_id}",
    )  # fmt: skip


def get_deployment_config(model_id: str, deployment_id: str) -> Request[models.DeploymentConfigAnswer]:
    """The configuration a deployment was made from, parsed."""
    return Request(
        "GET", f"{_deployment(model_id, deployment_id)}/config",
        models.DeploymentConfigAnswer.model_validate_json, f"configuration of deployment {deployment_id}",
        query={"output_format": "both"},
    )  # fmt: skip


def activate_deployment(model_id: str, deployment_id: str) -> Request[bytes]:
    """Serve again what was deactivated."""
    return Request(
        "POST", f"{_deployment(model_id, deployment_id)}/activate", bytes,
        f"deployment {deployment_id} of model {model_id}", body={},
    )  # fmt: skip


def deactivate_deployment(model_id: str, deployment_id: str) -> Request[bytes]:
    """Stop serving; the deployment can be activated again. Once inactive, it costs nothing."""
    return Request(
        "POST", f"{_deployment(model_id, deployment_id)}/deactivate", bytes,
        f"deployment {deployment_id} of model {model_id}", body={},
    )  # fmt: skip


def retry_deployment(model_id: str, deployment_id: str) -> Request[models.RetryAnswer]:
    """Build and deploy again what failed."""
    return Request(
        "POST", f"{_deployment(model_id, deployment_id)}/retry", models.RetryAnswer.model_validate_json,
        f"deployment {deployment_id} of model {model_id}", body={},
    )  # fmt: skip


def delete_deployment(model_id: str, deployment_id: str) -> Request[bytes]:
    """Delete a deployment; it must not be one that an environment needs."""
    return Request(
        "DELETE", _deployment(model_id, deployment_id), bytes, f"deployment {deployment_id} of model {model_id}"
    )  # fmt: skip


def promote_to_production(
    model_id: str, deployment_id: str, *, scale_down_previous: bool = True
) -> Request[models.Deployment]:
    """Let a deployment answer in production. Not repeatable: a promotion may deploy anew (OpenAPI)."""
    return Request(
        "POST", f"{_deployment(model_id, deployment_id)}/promote", models.Deployment.model_validate_json,
        f"promotion of deployment {deployment_id} of model {model_id} to production",
        body={"scale_down_previous_production": scale_down_previous}, repeatable=False,
    )  # fmt: skip


def deployment_logs(
    model_id: str,
    deployment_id: str,
    *,
    start_epoch_millis: int | None = None,
    end_epoch_millis: int | None = None,
    direction: str | None = None,
    limit: int | None = None,
    min_level: str | None = None,
) -> Request[models.LogsAnswer]:
    """A window of a deployment's log, as `job_logs`. What failed long ago logged before the default window."""
    query: dict[str, str | int | None] = {
        "start_epoch_millis": start_epoch_millis,
        "end_epoch_millis": end_epoch_millis,
        "direction": direction,
        "limit": limit,
        "min_level": min_level,
    }
    return Request(
        "GET", f"{_deployment(model_id, deployment_id)}/logs", models.LogsAnswer.model_validate_json,
        f"logs of deployment {deployment_id}", query=query,
    )  # fmt: skip


def predict(model_id: str, deployment_id: str, body: Mapping[str, Any], path: str = "predict") -> Request[Any]:
    """Ask a deployed model. `path` is "predict", or "sync/v1/…" for a path of the server's own."""
    return Request(
        "POST", f"/model-{model_id}/deployment/{deployment_id}/{path}", json.loads,
        f"deployment {deployment_id} of model {model_id}", body=body, to="model", timeout=300.0,
    )  # fmt: skip


# ---------------------------------------------------------------- environments


def list_environments(model_id: str) -> Request[models.EnvironmentsAnswer]:
    """The environments of a model; each has "production"."""
    return Request(
        "GET", f"/v1/models/{model_id}/environments", models.EnvironmentsAnswer.model_validate_json,
        f"environments of model {model_id}",
    )  # fmt: skip


def get_environment(model_id: str, name: str) -> Request[models.Environment]:
    return Request(
        "GET", _environment(model_id, name), models.Environment.model_validate_json,
        f"environment {name!r} of model {model_id}",
    )  # fmt: skip


def create_environment(model_id: str, name: str) -> Request[models.Environment]:
    """Create an environment with default settings; one of this name must not exist."""
    return Request(
        "POST", f"/v1/models/{model_id}/environments", models.Environment.model_validate_json,
        f"new environment {name!r} of model {model_id}", body={"name": name},
    )  # fmt: skip


def delete_environment(model_id: str, name: str) -> Request[bytes]:
    """Delete an environment; the deployment that answered there is scaled to zero (OpenAPI)."""
    return Request("DELETE", _environment(model_id, name), bytes, f"environment {name!r} of model {model_id}")


def activate_environment(model_id: str, name: str) -> Request[bytes]:
    """Serve again what answers in an environment."""
    return Request(
        "POST", f"{_environment(model_id, name)}/activate", bytes, f"environment {name!r} of model {model_id}", body={}
    )  # fmt: skip


def deactivate_environment(model_id: str, name: str) -> Request[bytes]:
    """Stop serving what answers in an environment."""
    return Request(
        "POST", f"{_environment(model_id, name)}/deactivate", bytes, f"environment {name!r} of model {model_id}",
        body={},
    )  # fmt: skip


def promote_to_environment(
    model_id: str, name: str, deployment_id: str, *, scale_down_previous: bool = True
) -> Request[models.Deployment]:
    """Let a deployment answer in an environment. Not repeatable: a promotion may deploy anew (OpenAPI)."""
    return Request(
        "POST", f"{_environment(model_id, name)}/promote", models.Deployment.model_validate_json,
        f"promotion of deployment {deployment_id} of model {model_id} to {name!r}",
        body={"deployment_id": deployment_id, "scale_down_previous_deployment": scale_down_previous},
        repeatable=False,
    )  # fmt: skip


def cancel_promotion(model_id: str, name: str) -> Request[models.CancelPromotionAnswer]:
    """End a promotion that is in progress; what answered before goes on."""
    return Request(
        "POST", f"{_environment(model_id, name)}/cancel_promotion", models.CancelPromotionAnswer.model_validate_json,
        f"promotion to {name!r} of model {model_id}", body={},
    )  # fmt: skip


# ---------------------------------------------------------------- what only the local platform has


def preempt_job(job_id: str) -> Request[models.JobAnswer]:
    """Take a spot job that runs away, as a reclaim of its machines would."""
    return Request(
        "POST", f"/v1/local/jobs/{job_id}/preempt", models.JobAnswer.model_validate_json, f"job {job_id}", body={}
    )  # fmt: skip


def new_sign_in_link() -> Request[models.SignInLink]:
    """A link to the platform's pages that signs one browser in."""
    return Request(
        "POST", "/v1/local/sign_in_links", models.SignInLink.model_validate_json, "sign-in link", body={}
    )  # fmt: skip


# ---------------------------------------------------------------- account: user, teams, instance types, secrets


def get_user() -> Request[models.UserInfo]:
    """Whose key it is."""
    return Request("GET", "/v1/users/me", models.UserInfo.model_validate_json, "user")


def list_teams(name: str | None = None) -> Request[models.TeamsAnswer]:
    """All teams that the key can see, or the one of this name."""
    return Request("GET", "/v1/teams", models.TeamsAnswer.model_validate_json, "teams", query={"name": name})


def get_team(team_id: str) -> Request[models.Team]:
    return Request("GET", f"/v1/teams/{team_id}", models.Team.model_validate_json, f"team {team_id}")


def list_instance_types() -> Request[models.InstanceTypesAnswer]:
    return Request("GET", "/v1/instance_types", models.InstanceTypesAnswer.model_validate_json, "instance types")


def list_secrets(team_id: str | None = None) -> Request[models.SecretsAnswer]:
    """Names of a team's secrets, never their values."""
    return Request("GET", _of_team(team_id, "secrets"), models.SecretsAnswer.model_validate_json, "secrets")


def upsert_secret(secret: models.UpsertSecret, team_id: str | None = None) -> Request[models.Secret]:
    return Request(
        "POST", _of_team(team_id, "secrets"), models.Secret.model_validate_json, f"secret {secret.name!r}",
        body=secret.model_dump(mode="json"),
    )  # fmt: skip


def delete_secret(name: str, team_id: str | None = None) -> Request[bytes]:
    path = _of_team(team_id, f"secrets/{quote(name, safe='')}")
    return Request("DELETE", path, bytes, f"secret {name!r}")
