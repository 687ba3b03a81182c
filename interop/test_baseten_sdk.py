"""The baseten SDK, blocking and awaiting: it can call every method that has to do with training, and reads the answers.

The SDK checks each answer against the models that are generated from Baseten's OpenAPI, and raises where one differs.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from baseten.client import AsyncManagementClient, ManagementClient
from baseten.client.managementapi import ApiClient, ResponseError
from baseten.client.managementapi import _models as sdk
from conftest import CAPACITY, PROJECT
from seeds import serve

from truss_train_core.testing import LocalPlatform

TRAINING = {name for name in dir(ApiClient) if "_training_" in name or name == "get_blobs_credentials_train"}
A_MINUTE = 60.0


@dataclass(frozen=True)
class Call:
    """A call of a method of the SDK. `refused` is the status of the error that it is answered with, if it is."""

    method: str
    arguments: dict[str, Any] = field(default_factory=dict)
    refused: int | None = None


Story = Generator[Call, Any, None]


def call(method: str, *, refused: int | None = None, **arguments: Any) -> Generator[Call, Any, Any]:
    return (yield Call(method, arguments, refused))


def until(done: Callable[[Any], bool], method: str, **arguments: Any) -> Generator[Call, Any, Any]:
    deadline = time.monotonic() + A_MINUTE
    while not done(answer := (yield Call(method, arguments))):
        assert time.monotonic() < deadline, f"{method} still answers {answer}"
        time.sleep(0.1)
    return answer


# ---------------------------------------------------------------- what is called


def training(platform: LocalPlatform) -> Story:
    """A job from its project to its deletion, and what is left of it."""
    teams = yield from call("get_teams")
    project = sdk.UpsertTrainingProjectRequest(training_project=sdk.UpsertTrainingProject(name="sdk"))
    yield from call("post_teams_training_projects", team_id=teams.teams[0].id, request=project)
    project_id = (yield from call("post_training_projects", request=project)).training_project.id
    credentials = yield from call("get_blobs_credentials_train")
    request = job_request(upload(platform, credentials), "python train.py", "sleep 6")
    created = yield from call("post_training_projects_jobs", training_project_id=project_id, request=request)
    one = {"training_project_id": project_id, "training_job_id": created.training_job.id}

    done = yield from until(has_ended, "get_training_projects_jobs_training_job_id", **one)
    assert (done.training_job.current_status, done.training_project.id) == ("TRAINING_JOB_COMPLETED", project_id)
    yield from looks(one)
    yield from refusals(one)
    yield from deploying(platform, created.training_job.id)

    again = yield from call("post_training_projects_jobs_recreate", **one)
    other = {**one, "training_job_id": again.training_job.id}
    stopped = yield from call("post_training_projects_jobs_stop", **other, request=sdk.StopTrainingJobRequest())
    assert stopped.training_job.id == again.training_job.id
    yield from queueing(project_id, teams.teams[0].id)

    gone = yield from call("delete_training_projects_jobs", **one)
    assert (gone.id, gone.deleted) == (created.training_job.id, True)
    assert (yield from call("delete_training_projects", training_project_id=project_id)).deleted
    listed = yield from call("get_training_projects")
    assert project_id not in [project.id for project in listed.training_projects]


def looks(one: dict[str, str]) -> Story:
    """Everything that is asked about a job."""
    search = sdk.SearchTrainingJobsRequest(job_id=one["training_job_id"], statuses=["TRAINING_JOB_COMPLETED"])
    assert len((yield from call("post_training_jobs_search", request=search)).training_jobs) == 1
    project_id = one["training_project_id"]
    listed = yield from call("get_training_projects_jobs", training_project_id=project_id)
    assert [job.id for job in listed.training_jobs] == [one["training_job_id"]]
    of_project = yield from call("get_training_projects_training_project_id", training_project_id=project_id)
    assert of_project.training_project.latest_job.id == one["training_job_id"]

    params = sdk.GetTrainingProjectsJobsLogsParams(direction="asc", limit=sdk.Limit(1000))
    lines = (yield from call("get_training_projects_jobs_logs", **one, params=params)).logs
    assert "step 1: loss 1.000\n" in [line.message for line in lines]
    posted = sdk.GetTrainingJobLogsRequest(direction="asc", min_level="ERROR")
    assert (yield from call("post_training_projects_jobs_logs", **one, request=posted)).logs == []

    metrics = yield from call(
        "get_training_projects_jobs_metrics", **one, params=sdk.GetTrainingProjectsJobsMetricsParams(step_seconds=1)
    )
    assert metrics.cpu_usage
    assert metrics.per_node_metrics[0].node_id == "g00r0"
    yield from call("post_training_projects_jobs_metrics", **one, request=sdk.GetTrainingJobMetricsRequest())

    checkpoints = yield from until(
        lambda answer: len(answer.checkpoints) == 2, "get_training_projects_jobs_checkpoints", **one
    )
    assert [(found.checkpoint_id, found.checkpoint_type) for found in checkpoints.checkpoints] == [
        ("checkpoint-1", "lora"),
        ("checkpoint-2", "full"),
    ]
    page = sdk.GetTrainingProjectsJobsCheckpointFilesParams(page_size=3)
    files = yield from call("get_training_projects_jobs_checkpoint_files", **one, params=page)
    assert (len(files.presigned_urls), files.next_page_token, files.total_count) == (3, 3, 4)
    assert len((yield from call("get_training_projects_jobs_download", **one)).artifact_presigned_urls) == 1
    cache = yield from call("get_training_projects_cache_summary", training_project_id=project_id)
    assert [file.path for file in cache.file_summaries] == ["tokens.bin"]
    yield from call("get_training_jobs_queue_context", training_job_id=one["training_job_id"])


def refusals(one: dict[str, str]) -> Story:
    """There are no interactive sessions on a local platform."""
    assert (yield from call("get_training_projects_jobs_auth_codes", **one)).auth_codes == []
    session = sdk.PatchInteractiveSessionRequest(timeout_minutes=5)
    method = "patch_training_projects_jobs_interactive_sessions"
    yield from call(method, refused=404, **one, session_id="none", request=session)
    key = sdk.SignSSHCertificateRequest(public_key="ssh-ed25519 AAAA", replica_id="0")
    yield from call("post_training_projects_jobs_ssh_sign", refused=400, **one, request=key)


def queueing(project_id: str, team_id: str) -> Story:
    """A job that waits, and what decides how long."""
    request = job_request(None, "true", gpus=1)
    waiting = yield from call("post_training_projects_jobs", training_project_id=project_id, request=request)
    assert waiting.training_job.current_status == "TRAINING_JOB_PENDING"
    one = {"training_project_id": project_id, "training_job_id": waiting.training_job.id}
    update = sdk.UpdateTrainingJobRequest(priority=9, availability_model="spot")
    updated = (yield from call("patch_training_projects_jobs", **one, request=update)).training_job
    assert (updated.priority, updated.availability_model) == (9, "spot")
    yield from call("get_training_jobs_queue_context", training_job_id=waiting.training_job.id)
    limit = sdk.PatchTeamTrainingGpuCapacityRequest(team_id=team_id, gpu_type="H100", max_gpus=2)
    limited = (yield from call("patch_training_capacity", request=limit)).team_gpu_capacity
    capacity = yield from call("get_training_capacity")
    assert capacity.gpu_capacities[0].gpu_type == "H100"
    assert capacity.team_gpu_capacities == [limited]


def deploying(platform: LocalPlatform, job_id: str) -> Story:
    """What deploying a checkpoint touches."""
    yield from call("get_users_me")
    assert (yield from call("get_instance_types")).instance_types
    yield from secrets()

    deployment = serve(platform, job_id)
    of_model = {"model_id": deployment.model_id}
    one = {**of_model, "deployment_id": deployment.id}
    assert (yield from call("get_models", params=sdk.GetModelsParams(name="interop"))).models[
        0
    ].id == deployment.model_id
    yield from call("get_models_model_id", **of_model)
    yield from call("get_models_deployments", **of_model)
    assert (yield from call("get_models_deployments_deployment_id", **one)).status == "ACTIVE"
    yield from call("get_models_deployments_config", **one)
    yield from call("get_models_deployments_logs", **one)
    yield from call("post_models_deployments_logs", **one, request=sdk.GetDeploymentLogsRequest())
    yield from call("get_models_deployments_metrics", **one)

    yield from call("post_models_environments", **of_model, request=sdk.CreateEnvironmentRequest(name="staging"))
    promote = sdk.PromoteToEnvironmentRequest(deployment_id=deployment.id)
    yield from call("post_models_environments_promote", **of_model, env_name="staging", request=promote)
    staging = yield from call("get_models_environments_env_name", **of_model, env_name="staging")
    assert staging.current_deployment.id == deployment.id
    yield from call("get_models_environments", **of_model)
    yield from call("post_models_deployments_promote", **one, request=sdk.PromoteRequest())
    yield from call("get_models_deployments_production", **of_model)
    yield from call("post_models_deployments_deactivate", **one)
    yield from until(lambda answer: answer.status == "INACTIVE", "get_models_deployments_deployment_id", **one)
    yield from call("post_models_deployments_activate", **one)
    yield from call("delete_models_environments", **of_model, env_name="staging")
    yield from call("delete_models", **of_model)


def secrets() -> Story:
    (team,) = (yield from call("get_teams")).teams
    yield from call("get_teams_team_id", team_id=team.id)
    secret = sdk.UpsertSecretRequest(name="token", value="hidden")
    yield from call("post_secrets", request=secret)
    assert [found.name for found in (yield from call("get_secrets")).secrets] == ["token"]
    yield from call("delete_secrets", secret_name="token")
    yield from call("post_teams_secrets", team_id=team.id, request=secret)
    assert [found.name for found in (yield from call("get_teams_secrets", team_id=team.id)).secrets] == ["token"]
    yield from call("delete_teams_secrets", team_id=team.id, secret_name="token")


# ---------------------------------------------------------------- what the SDK leaves to others


def job_request(
    artifact: sdk.CreateTrainingJobS3Artifact | None, *commands: str, gpus: int = 0
) -> sdk.CreateTrainingJobRequest:
    accelerator = sdk.CreateTrainingJobAccelerator(accelerator="H100", count=gpus) if gpus else None
    runtime = sdk.CreateTrainingJobRuntime(
        start_commands=list(commands),
        environment_variables={"SEED": "7"},
        artifacts=[artifact] if artifact else [],
        cache_config=sdk.CreateTrainingJobCacheConfig(enabled=True),
        checkpointing_config=sdk.CreateTrainingJobCheckpointingConfig(enabled=True),
    )
    return sdk.CreateTrainingJobRequest(
        training_job=sdk.CreateTrainingJob(
            image=sdk.CreateTrainingJobImage(base_image="python:3.11-slim"),
            compute=sdk.CreateTrainingJobCompute(accelerator=accelerator),
            runtime=runtime,
            enable_baseten_workdir=True,
        )
    )


def upload(platform: LocalPlatform, credentials: sdk.GetBlobCredentialsResponse) -> sdk.CreateTrainingJobS3Artifact:
    """Store the project's archive. The SDK's models drop the endpoint that the platform names in its credentials."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(PROJECT / "train.py", "train.py")
    place = {"Bucket": credentials.s3_bucket, "Key": credentials.s3_key}
    s3 = boto3.client("s3", endpoint_url=platform.remote.api_url, **credentials.creds.model_dump())
    s3.put_object(Body=archive.getvalue(), **place)
    return sdk.CreateTrainingJobS3Artifact(s3_bucket=credentials.s3_bucket, s3_key=credentials.s3_key)


def has_ended(answer: Any) -> bool:
    job = answer.training_job
    return job.current_status.endswith(("_COMPLETED", "_FAILED")) and job.checkpoint_sync_status == "COMPLETED"


# ---------------------------------------------------------------- who calls


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[LocalPlatform]:
    with LocalPlatform.started(tmp_path / "platform", capacity=CAPACITY, stop_grace=1) as platform:
        yield platform


def test_every_training_method_of_the_blocking_client_is_answered(platform: LocalPlatform) -> None:
    called, answer, story = set(), None, training(platform)
    with ManagementClient(**options(platform)) as client:
        while step := next_step(story, answer):
            called.add(step.method)
            try:
                answer = getattr(client.api, step.method)(**step.arguments)
            except ResponseError as error:
                answer = as_expected(step, error)
    assert called >= TRAINING


def test_every_training_method_of_the_awaiting_client_is_answered(platform: LocalPlatform) -> None:
    async def run() -> set[str]:
        called, answer, story = set(), None, training(platform)
        async with AsyncManagementClient(**options(platform)) as client:
            while step := next_step(story, answer):
                called.add(step.method)
                try:
                    answer = await getattr(client.api, step.method)(**step.arguments)
                except ResponseError as error:
                    answer = as_expected(step, error)
        return called

    assert asyncio.run(run()) >= TRAINING


def options(platform: LocalPlatform) -> dict[str, str]:
    return {"api_key": platform.remote.key.get_secret_value(), "base_url_override": platform.remote.api_url}


def next_step(story: Story, answer: Any) -> Call | None:
    try:
        return story.send(answer)
    except StopIteration:
        return None


def as_expected(step: Call, error: ResponseError) -> ResponseError:
    assert error.status_code == step.refused, f"{step}: {error}"
    return error
