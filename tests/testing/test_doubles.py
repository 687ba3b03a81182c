"""What exists twice is found, and what only looks so is not."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from served_platform import served

from truss_train_core import Client, Remote, jobs
from truss_train_core.api import endpoints
from truss_train_core.definitions import (
    CheckpointList,
    Compute,
    DeployCheckpointsConfig,
    DeployCheckpointsRuntime,
    FullCheckpoint,
    LocalServer,
)
from truss_train_core.deployments import template_request
from truss_train_core.testing import doubles
from truss_train_core.testing.doubles import Double


def test_jobs_of_one_attempt_and_deployments_of_one_checkpoint_are_doubles(tmp_path: Path) -> None:
    with served(tmp_path) as platform:
        project, name = platform.project(), jobs.job_name("digits", jobs.run_key("run"), 1)
        first, second = (platform.job(project, name=name)["id"] for _ in range(2))
        for label in ("sweep", "sweep", jobs.job_name("digits", jobs.run_key("run"), 2)):
            platform.job(project, name=label)
        platform.store(project, first, "checkpoint-1")
        platform.store(project, first, "checkpoint-2")

        remote = Remote(name="x", api_url=platform.url, web_url=platform.url, key=SecretStr(platform.platform.api_key))
        with Client(remote) as client:
            one, two, _ = (deploy(client, first, step) for step in (1, 1, 2))
            assert doubles(client) == [Double("job", name, (second, first)), Double("deployment", "digits", (two, one))]

            platform.call("POST", f"/v1/training_projects/{project}/jobs/{second}/stop", {})
            model = platform.call("GET", "/v1/models")["models"][0]["id"]
            platform.call("POST", f"/v1/models/{model}/deployments/{two}/deactivate", {})
            assert doubles(client) == []


def deploy(client: Client, job_id: str, step: int) -> str:
    """Deploy without looking first."""
    checkpoint = FullCheckpoint(training_job_id=job_id, checkpoint_name=f"checkpoint-{step}")
    server = LocalServer(start_command="serve")
    config = DeployCheckpointsConfig(
        model_name="digits",
        checkpoint_details=CheckpointList(checkpoints=[checkpoint]),
        compute=Compute(),
        runtime=DeployCheckpointsRuntime(local_server=server),
    )
    instance = client.send(endpoints.list_instances()).listed_instances[0].id
    request = endpoints.deploy_checkpoints(template_request(config, instance), server.model_dump(mode="json"))
    version = client.send(request).create_model_version_from_inference_template.model_version
    assert version
    return version.id
