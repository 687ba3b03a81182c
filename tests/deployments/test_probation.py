"""Watching a promoted deployment, over real HTTP: what fails for long enough is rolled back by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from promotion_scene import Scene, scene_of

from truss_train_core import deployments
from truss_train_core.api.flows import Flow
from truss_train_core.api.models import Deployment
from truss_train_core.deployments import Gate, Promoted, Verdict
from truss_train_core.errors import DeploymentFailed
from truss_train_core.events import DeploymentProbed, sentence


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with scene_of(tmp_path / "data") as scene:
        yield scene


@pytest.fixture
def promoted(scene: Scene) -> Promoted:
    """A second deployment in the place of a first."""
    first, second = scene.deployed("checkpoint-1"), scene.deployed("checkpoint-2")
    scene.run(deployments.promote(first))
    promoted = scene.run(deployments.promote(second))
    scene.goes_to_rest_and_wakes_up(first)
    assert isinstance(promoted, Promoted)
    return promoted


def probe(said: Iterable[bool]) -> Gate:
    """A probe that passes or objects as is said, and passes after that."""
    verdicts = iter(said)

    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        passes = next(verdicts, True)
        return Verdict(passes=passes, reason="right" if passes else "wrong")
        yield

    return gate


def watched(scene: Scene, promoted: Promoted, said: Iterable[bool], **more: float) -> deployments.Probation:
    flow = deployments.watch(promoted, [probe(said)], **{"seconds": 600, "every": 60, "objections": 3, **more})
    ended = scene.run(flow)
    assert isinstance(ended, deployments.Probation)
    return ended


def test_what_does_well_for_long_enough_stays(scene: Scene, promoted: Promoted) -> None:
    ended = watched(scene, promoted, [])
    assert (ended.outcome, ended.probed, ended.answers) == ("passed", 11, promoted.deployment_id)
    assert deployments.expect_passed(ended) is ended
    assert scene.serving_now() == promoted.deployment_id


def test_objections_in_a_row_roll_the_promotion_back_and_say_so(scene: Scene, promoted: Promoted) -> None:
    ended = watched(scene, promoted, [True, False, False, False])
    assert (ended.outcome, ended.probed, ended.answers) == ("rolled back", 4, promoted.former_id)
    assert scene.serving_now() == promoted.former_id
    probes = [event for event in scene.heard if isinstance(event, DeploymentProbed)]
    assert [each.objections for each in probes] == [0, 1, 2, 3]
    assert sentence(probes[-1]) == f"deployment {promoted.deployment_id} fails in production, 3 in a row: wrong"
    with pytest.raises(DeploymentFailed) as caught:
        deployments.expect_passed(ended)
    assert str(caught.value).endswith(
        f"failed in production, 3 probes in a row: wrong. The former one, {promoted.former_id}, answers again."
    )


def test_single_objections_roll_nothing_back(scene: Scene, promoted: Promoted) -> None:
    ended = watched(scene, promoted, [False, False, True] * 3)
    assert ended.outcome == "passed"


def test_an_objection_at_the_end_is_waited_out(scene: Scene, promoted: Promoted) -> None:
    assert watched(scene, promoted, [True, False, False, False], seconds=60).outcome == "rolled back"


def test_the_first_objection_of_several_probes_is_the_rounds(scene: Scene, promoted: Promoted) -> None:
    probes = [probe([True]), probe([False]), probe([True])]
    record = scene.run(deployments.begin_probation(promoted, 600))
    record = scene.run(deployments.probe_once(record, probes))
    assert (record.objections, record.reason, record.outcome) == (1, "wrong", "watching")


def test_what_somebody_else_has_promoted_meanwhile_is_left_alone(scene: Scene, promoted: Promoted) -> None:
    third = scene.deployed("checkpoint-3")
    scene.run(deployments.promote(third))
    ended = watched(scene, promoted, [False] * 9)
    assert (ended.outcome, ended.probed, ended.answers) == ("overtaken", 0, third.id)
    assert deployments.expect_passed(ended)
    assert scene.serving_now() == third.id


def test_where_the_former_answers_again_the_promotion_was_rolled_back_by_whomever(
    scene: Scene, promoted: Promoted
) -> None:
    """A process that died right after it had asked for that, or a person."""
    scene.run(deployments.roll_back(promoted))
    ended = watched(scene, promoted, [])
    assert (ended.outcome, ended.probed, ended.answers) == ("rolled back", 0, promoted.former_id)
    with pytest.raises(DeploymentFailed, match="failed in production: the former one was put back meanwhile"):
        deployments.expect_passed(ended)


def test_where_nothing_can_be_put_back_it_says_that(scene: Scene) -> None:
    promoted = scene.run(deployments.promote(scene.deployed("checkpoint-1")))
    ended = watched(scene, promoted, [False] * 9)
    assert (ended.outcome, ended.probed, ended.answers) == ("stuck", 3, promoted.deployment_id)
    with pytest.raises(DeploymentFailed, match=r"Nothing could be put back: it still answers\. Look at production"):
        deployments.expect_passed(ended)


def test_a_record_goes_through_json(scene: Scene, promoted: Promoted) -> None:
    record = scene.run(deployments.begin_probation(promoted, 600))
    assert deployments.Probation.model_validate_json(record.model_dump_json()) == record
