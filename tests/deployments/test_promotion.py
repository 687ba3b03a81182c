"""Promotion over real HTTP: what serves is scripted, so that it fails when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from promotion_scene import Scene, scene_of

from truss_train_core import deployments
from truss_train_core.api.flows import Flow
from truss_train_core.api.models import Deployment
from truss_train_core.deployments import Kept, Promoted, Verdict
from truss_train_core.errors import DeploymentFailed, NotFound, PromotionRefused
from truss_train_core.events import DeploymentKept, DeploymentPromoted, sentence
from truss_train_core.testing import Fault
from truss_train_core.waiting import Limits


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with scene_of(tmp_path / "data") as scene:
        yield scene


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

    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        assert current
        assert current.id == first.id
        return Verdict(passes=False, reason=f"{deployment.id} is worse")
        yield

    with pytest.raises(PromotionRefused, match=f"did not pass a gate: {second.id} is worse. production is as it was"):
        scene.run(deployments.promote(second, gates=[gate]))
    assert scene.serving_now() == first.id


def refusing(reason: str) -> deployments.Gate:
    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        return Verdict(passes=False, reason=reason)
        yield

    return gate


def passing(reason: str) -> deployments.Gate:
    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        return Verdict(passes=True, reason=reason)
        yield

    return gate


def test_a_refusal_can_be_an_outcome_and_lets_the_refused_one_go(scene: Scene) -> None:
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))
    kept = scene.run(deployments.promote_or_keep(second, gates=[passing("good"), refusing("no better: 1 and 2")]))
    assert isinstance(kept, Kept)
    assert (kept.deployment_id, kept.refused_id, kept.reason) == (first.id, second.id, "no better: 1 and 2")
    assert scene.serving_now() == first.id
    assert second.id in scene.platform.serving.stops
    (told,) = [event for event in scene.heard if isinstance(event, DeploymentKept)]
    assert sentence(told) == (
        f"deployment {first.id} is kept in production, because {second.id} did not pass: no better: 1 and 2"
    )


def test_where_nothing_answered_nothing_answers_after_a_refusal(scene: Scene) -> None:
    kept = scene.run(deployments.promote_or_keep(scene.deployed("checkpoint-1"), gates=[refusing("bad")]))
    assert kept.deployment_id is None
    assert scene.serving_now() is None


def test_what_is_refused_in_one_environment_and_answers_in_another_serves_on(scene: Scene) -> None:
    first = scene.deployed("checkpoint-1")
    promoted = scene.run(deployments.promote(first))
    scene.platform.call("POST", f"/v1/models/{promoted.model_id}/environments", {"name": "staging"})
    scene.run(deployments.promote_or_keep(first, "staging", gates=[refusing("bad")]))
    assert first.id not in scene.platform.serving.stops


def test_what_the_gates_said_for_a_promotion_is_kept_with_it(scene: Scene) -> None:
    first = scene.deployed("checkpoint-1")
    promoted = scene.run(deployments.promote_or_keep(first, gates=[passing("good"), passing("fast")]))
    assert isinstance(promoted, Promoted)
    assert promoted.reason == "good; fast"
    assert sentence(scene.heard[-1]) == f"deployment {first.id} answers in production: good; fast"


def test_a_new_deployment_that_dies_in_service_is_replaced_by_the_former(scene: Scene) -> None:
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))
    scene.goes_to_rest_and_wakes_up(first)
    scene.platform.serving.set(second.id, "failed", error_message="out of memory")  # seen from the next round on
    with pytest.raises(DeploymentFailed) as caught:
        scene.run(after_promotion(deployments.promote(second, limits=Limits(timeout=300)), scene.platform.move_on))
    assert f"The former one, {first.id}, answers again" in str(caught.value)
    assert scene.serving_now() == first.id


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
    scene.goes_to_rest_and_wakes_up(first)
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
    scene.goes_to_rest_and_wakes_up(first)
    back = scene.run(deployments.roll_back(promoted))
    assert (back.deployment_id, back.former_id) == (first.id, second.id)
    assert scene.serving_now() == first.id


def test_there_is_nothing_to_roll_back_to_after_the_first(scene: Scene) -> None:
    promoted = scene.run(deployments.promote(scene.deployed("checkpoint-1")))
    with pytest.raises(DeploymentFailed, match="Nothing answered in production"):
        scene.run(deployments.roll_back(promoted))


def test_what_answers_leads_back_to_its_checkpoint(scene: Scene) -> None:
    assert scene.run(deployments.answering("digits")) is None  # there is no such model
    first = scene.deployed("checkpoint-1")
    assert scene.run(deployments.answering("digits")) is None
    scene.run(deployments.promote(first))
    answering = scene.run(deployments.answering("digits"))
    assert answering.id == first.id
    assert scene.run(deployments.checkpoint_of(answering)) == (scene.job, "checkpoint-1")
    with pytest.raises(NotFound):
        scene.run(deployments.answering("digits", "staging"))
