"""A platform with deployments of one model, to be promoted over real HTTP: a test says how they fare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from served_platform import Served, served

from truss_train_core import deployments
from truss_train_core.api.client import Client
from truss_train_core.api.flows import Event, Flow
from truss_train_core.api.models import Deployment
from truss_train_core.definitions import (
    CheckpointList,
    Compute,
    DeployCheckpointsConfig,
    DeployCheckpointsRuntime,
    FullCheckpoint,
    LocalServer,
)
from truss_train_core.remotes import Remote
from truss_train_core.testing import Fault, Faulty, ManualClock, scripted


class Scene:
    """A platform with deployments of one model; whenever a flow pauses, the platform moves on."""

    def __init__(self, platform: Served) -> None:
        self.platform = platform
        self.project = platform.project()
        self.job = platform.running_job(self.project)
        self.heard: list[Event] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def run(self, flow: Flow, *faults: Fault) -> object:
        scene = self

        class Moving(ManualClock):
            def sleep(self, seconds: float) -> None:
                scene.meanwhile()
                scene.platform.move_on()
                super().sleep(seconds)

        key = self.platform.platform.api_key
        remote = Remote(name="local", api_url=self.platform.url, web_url=self.platform.url, key=key)
        with Client(remote, clock=Moving(), transport=Faulty(scripted(*faults))) as client:
            return client.run(flow, on_event=self.heard.append)

    def deployed(self, name: str) -> Deployment:
        """A deployment that serves."""
        self.platform.store(self.project, self.job, name)
        config = DeployCheckpointsConfig(
            model_name="digits",
            checkpoint_details=CheckpointList(
                checkpoints=[FullCheckpoint(training_job_id=self.job, checkpoint_name=name)]
            ),
            compute=Compute(),
            runtime=DeployCheckpointsRuntime(local_server=LocalServer(start_command="serve")),
        )
        deployment = self.run(deployments.deploy(config))
        self.platform.move_on()
        self.serve(deployment.id)
        return self.run(deployments.wait_until_serving(deployment))

    def serve(self, deployment_id: str, phase: str = "active") -> None:
        self.platform.serving.set(deployment_id, phase, **({"port": 1} if phase == "active" else {}))
        self.platform.move_on()

    def serving_now(self) -> str | None:
        model = self.platform.call("GET", "/v1/models")["models"][0]
        return model["production_deployment_id"]

    def goes_to_rest_and_wakes_up(self, deployment: Deployment) -> None:
        """What becomes of a deployment that is scaled to zero, pause by pause, and is then wanted again."""
        phases = iter(["inactive"])
        self.meanwhile = lambda: self.serve(deployment.id, next(phases, "active"))


@contextmanager
def scene_of(data_dir: Path) -> Iterator[Scene]:
    """A platform of its own."""
    with served(data_dir) as platform:
        yield Scene(platform)
