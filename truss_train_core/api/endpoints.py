"""The endpoints of the management API, each written once, as a function that returns a `Request`.

Paths, bodies and answers are the OpenAPI's; where the current client is known to send something else, its form is
used. Calls that create something without a key of their own are marked as not repeatable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from truss_train_core.api import models
from truss_train_core.api.request import Request

T = TypeVar("T", bound=models.Wire)


def _project(project_id: str) -> str:
    return f"/v1/training_projects/{project_id}"


def _job(project_id: str, job_id: str) -> str:
    return f"{_project(project_id)}/jobs/{job_id}"


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
    path = f"/v1/teams/{team_id}/training_projects" if team_id else "/v1/training_projects"
    return Request(
        "POST", path, models.ProjectAnswer.model_validate_json, f"project {body.get('name')!r}",
        body={"training_project": body},
    )  # fmt: skip


def delete_project(project_id: str) -> Request[bytes]:
    """Delete a project, its jobs and its cache."""
    return Request("DELETE", _project(project_id), bytes, f"project {project_id}")


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
    return replace(search_jobs(search), shared=True)


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


def list_models() -> Request[models.ModelsAnswer]:
    return Request("GET", "/v1/models", models.ModelsAnswer.model_validate_json, "models")


def list_deployments(model_id: str) -> Request[models.DeploymentsAnswer]:
    return Request(
        "GET", f"/v1/models/{model_id}/deployments", models.DeploymentsAnswer.model_validate_json,
        f"deployments of model {model_id}",
    )  # fmt: skip


def get_deployment(model_id: str, deployment_id: str) -> Request[models.Deployment]:
    return Request(
        "GET", f"/v1/models/{model_id}/deployments/{deployment_id}", models.Deployment.model_validate_json,
        f"deployment {deployment_id} of model {model_id}",
    )  # fmt: skip


def get_deployment_config(model_id: str, deployment_id: str) -> Request[models.DeploymentConfigAnswer]:
    """The configuration a deployment was made from, parsed."""
    return Request(
        "GET", f"/v1/models/{model_id}/deployments/{deployment_id}/config",
        models.DeploymentConfigAnswer.model_validate_json, f"configuration of deployment {deployment_id}",
        query={"output_format": "both"},
    )  # fmt: skip


def deactivate_deployment(model_id: str, deployment_id: str) -> Request[bytes]:
    """Stop serving; the deployment can be activated again. Once inactive, it costs nothing."""
    return Request(
        "POST", f"/v1/models/{model_id}/deployments/{deployment_id}/deactivate", bytes,
        f"deployment {deployment_id} of model {model_id}", body={},
    )  # fmt: skip


def deployment_logs(
    model_id: str, deployment_id: str, *, limit: int | None = None, direction: str | None = None
) -> Request[models.LogsAnswer]:
    """The newest lines of a deployment's log."""
    return Request(
        "GET", f"/v1/models/{model_id}/deployments/{deployment_id}/logs", models.LogsAnswer.model_validate_json,
        f"logs of deployment {deployment_id}", query={"limit": limit, "direction": direction},
    )  # fmt: skip


def predict(model_id: str, deployment_id: str, body: Mapping[str, Any], path: str = "predict") -> Request[Any]:
    """Ask a deployed model. `path` is "predict", or "sync/v1/…" for a path of the server's own."""
    return Request(
        "POST", f"/model-{model_id}/deployment/{deployment_id}/{path}", json.loads,
        f"deployment {deployment_id} of model {model_id}", body=body, to="model", timeout=300.0,
    )  # fmt: skip


# ---------------------------------------------------------------- secrets


def list_secrets(team_id: str | None = None) -> Request[models.SecretsAnswer]:
    """Names of the workspace's secrets, never their values."""
    path = f"/v1/teams/{team_id}/secrets" if team_id else "/v1/secrets"
    return Request("GET", path, models.SecretsAnswer.model_validate_json, "secrets")


def upsert_secret(secret: models.UpsertSecret) -> Request[models.Secret]:
    return Request(
        "POST", "/v1/secrets", models.Secret.model_validate_json, f"secret {secret.name!r}",
        body=secret.model_dump(mode="json"),
    )  # fmt: skip
