"""Objects that several suites begin with."""

from __future__ import annotations

from truss_train_core import Client, deployments
from truss_train_core.api.models import Deployment
from truss_train_core.definitions import (
    CheckpointList,
    Compute,
    DeployCheckpointsConfig,
    DeployCheckpointsRuntime,
    FullCheckpoint,
    LocalServer,
)
from truss_train_core.testing import LocalPlatform


def serve(platform: LocalPlatform, job_id: str) -> Deployment:
    """Deploy a checkpoint of a job, with a web server in place of vLLM, and wait until it serves."""
    server = LocalServer(
        start_command='python -m http.server "$PORT" --bind 127.0.0.1', readiness_endpoint="/", predict_endpoint="/"
    )
    config = DeployCheckpointsConfig(
        checkpoint_details=CheckpointList(
            checkpoints=[FullCheckpoint(training_job_id=job_id, checkpoint_name="checkpoint-2")]
        ),
        model_name="interop",
        compute=Compute(),
        runtime=DeployCheckpointsRuntime(local_server=server),
    )
    with Client(platform.remote) as client:
        return client.run(deployments.wait_until_serving(client.run(deployments.deploy(config))))
