"""Promotion over real HTTP: what serves is scripted, so that it fails when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
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
from truss_train_core.errors import DeploymentFailed
from truss_train_core.events import DeploymentPromoted
from truss_train_core.remotes import Remote
from truss_train_core.testing import Fault, Faulty, ManualClock, scripted
from truss_train_core.waiting import Limits


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


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with served(tmp_path / "data") as platform:
        yield Scene(platform)


def test_the_first_deployment_is_promoted(scene: Scene) -> None:
    first = scene.deployed("checkpoint-1")
    promoted = scene.run(deployments.promote(first))
    assert (promoted.deployment_id, promoted.former_id) == (first.id, None)
    assert scene.serving_now() == first.id
    assert isinstance(scene.heard[-1], DeploymentPromoted)


def test_promoting_what_answers_already_changes_nothing(scene: Scene) -> None:
    first = scene.deployed("checkpoint-1")
    scene.run(deployments.promote(first))
    said = len(scene.heard)
    assert scene.run(deployments.promote(first)).deployment_id == first.id
    assert len(scene.heard) == said


def test_a_gate_that_objects_leaves_everything_as_it_was(scene: Scene) -> None:
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))

    def gate(deployment: Deployment) -> Flow[str | None]:
        return f"{deployment.id} is worse"
        yield

    with pytest.raises(DeploymentFailed, match=f"did not pass a gate: {second.id} is worse. production is as it was"):
        scene.run(deployments.promote(second, gates=[gate]))
    assert scene.serving_now() == first.id


def test_a_new_deployment_that_dies_in_service_is_replaced_by_the_former(scene: Scene) -> None:
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))
    scene.meanwhile = first_goes_to_rest_and_wakes_up(scene, first)
    scene.platform.serving.set(second.id, "failed", error_message="out of memory")  # seen from the next round on
    with pytest.raises(DeploymentFailed) as caught:
        scene.run(after_promotion(deployments.promote(second, limits=Limits(timeout=300)), scene.platform.move_on))
    assert f"The former one, {first.id}, answers again" in str(caught.value)
    assert scene.serving_now() == first.id


def first_goes_to_rest_and_wakes_up(scene: Scene, first: Deployment) -> Callable[[], None]:
    """What becomes of a deployment that is scaled to zero, pause by pause, and is then wanted again."""
    phases = iter(["inactive"])
    return lambda: scene.serve(first.id, next(phases, "active"))


def after_promotion(flow: Flow, do: Callable[[], None]) -> Flow:
    """The flow, with the platform moved on right after its promotion was answered."""
    answer = None
    while True:
        try:
            request = flow.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield request
        if getattr(request, "path", "").endswith("/promote"):
            do()


def test_a_promotion_whose_answer_is_lost_is_found(scene: Scene) -> None:
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))
    promoted = scene.run(deployments.promote(second), Fault("lost", "POST", "/promote$"))
    assert (promoted.deployment_id, promoted.former_id) == (second.id, first.id)


def test_whoever_died_after_asking_for_a_promotion_asks_once_and_knows_what_to_put_back(scene: Scene) -> None:
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))
    intended = scene.run(deployments.intend_promotion(second))
    begun = scene.run(deployments.begin_promotion(intended))
    assert begun == intended
    assert scene.run(not_asked_again(deployments.begin_promotion(intended))) == begun
    scene.serve(second.id, "failed")
    scene.meanwhile = first_goes_to_rest_and_wakes_up(scene, first)
    with pytest.raises(DeploymentFailed, match=f"failed in production.*{first.id}, answers again"):
        scene.run(deployments.finish_promotion(begun, limits=Limits(timeout=300)))
    assert scene.serving_now() == first.id


def not_asked_again(flow: Flow) -> Flow:
    """The flow, which has to ask for no promotion."""
    answer = None
    while True:
        try:
            request = flow.send(answer)
        except StopIteration as end:
            return end.value
        assert not getattr(request, "path", "").endswith("/promote")
        answer = yield request


def test_rolling_back_wakes_the_former_deployment(scene: Scene) -> None:
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))
    promoted = scene.run(deployments.promote(second))
    scene.meanwhile = first_goes_to_rest_and_wakes_up(scene, first)
    back = scene.run(deployments.roll_back(promoted))
    assert (back.deployment_id, back.former_id) == (first.id, second.id)
    assert scene.serving_now() == first.id


def test_there_is_nothing_to_roll_back_to_after_the_first(scene: Scene) -> None:
    promoted = scene.run(deployments.promote(scene.deployed("checkpoint-1")))
    with pytest.raises(DeploymentFailed, match="Nothing answered in production"):
        scene.run(deployments.roll_back(promoted))


def test_a_gate_asks_the_deployment(scene: Scene) -> None:
    first = scene.deployed("checkpoint-1")  # whose port nobody listens at
    gate = deployments.answers({"image": []})
    assert "does not answer" in str(scene.run(gate(first)))
