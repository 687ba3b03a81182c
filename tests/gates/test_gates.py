"""Gates: each says whether a deployment passes, and why, with the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from world import CheckpointScript, Fault, JobScript, World, away, hf_checkpoint

from truss_train_core import deployments, gates
from truss_train_core.api.models import Deployment
from truss_train_core.api.request import Request
from truss_train_core.definitions import CheckpointList, Compute, DeployCheckpointsConfig, FullCheckpoint
from truss_train_core.deployments import Gate, Verdict
from truss_train_core.gates import HeldOut


def definition(*names: str) -> DeployCheckpointsConfig:
    """Of a deployment of checkpoints of job j1."""
    details = CheckpointList(checkpoints=[FullCheckpoint(training_job_id="j1", checkpoint_name=name) for name in names])
    return DeployCheckpointsConfig(model_name="digits", checkpoint_details=details, compute=Compute())


class Answering(World):
    """A world whose deployments give the answers that a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Callable[[Any], Any]] = {}

    def _predict(self, request: Request[Any], model: str, deployment: str, path: str) -> Any:
        return self.answers[deployment](request.body)

    def deployed(self, *names: str) -> Deployment:
        """A deployment of checkpoints of job j1."""
        return self.run(deployments.deploy(definition(*names)))

    def says(self, gate: Gate, deployment: Deployment, current: Deployment | None = None) -> Verdict:
        verdict = self.run(gate(deployment, current))
        assert verdict.reason
        return verdict


@pytest.fixture
def world() -> Answering:
    return Answering()


# ---------------------------------------------------------------- a question


def test_a_deployment_answers_as_expected_or_does_not_pass(world: Answering) -> None:
    first = world.deployed("checkpoint-1")
    world.answers[first.id] = lambda body: {"digit": body["image"]}
    assert world.says(gates.answers({"image": 7}), first).passes
    assert world.says(gates.answers({"image": 7}, lambda answer: answer["digit"] == 7), first).passes
    verdict = world.says(gates.answers({"image": 7}, lambda answer: answer["digit"] == 8), first)
    assert verdict == Verdict(passes=False, reason="its answer is not as expected: {'digit': 7}")


def test_a_deployment_that_does_not_answer_does_not_pass(world: Answering) -> None:
    first = world.deployed("checkpoint-1")
    world.faults.append(Fault("POST /model-", away(), times=99))
    verdict = world.says(gates.answers({"image": 7}, patience=30), first)
    assert not verdict.passes
    assert verdict.reason.startswith("it does not answer: no answer from api")


# ---------------------------------------------------------------- held-out data


def held_out(**more: Any) -> HeldOut:
    """Ten questions; the score is the mean of the answers."""
    questions = [{"n": n} for n in range(10)]
    return HeldOut(questions=questions, score=lambda answers: sum(answers) / len(answers), name="mean", **more)


def two(world: Answering, reached: float, now: float) -> tuple[Deployment, Deployment]:
    """A deployment, and one that answers now, which give every question these answers."""
    former, new = world.deployed("checkpoint-1"), world.deployed("checkpoint-2")
    world.answers = {new.id: lambda body: reached, former.id: lambda body: now}
    return new, former


@pytest.mark.parametrize(
    ("reached", "now", "mode", "margin", "passes"),
    [
        (0.95, 0.94, "max", 0.0, True),
        (0.95, 0.94, "max", 0.01, True),  # which is a little less in floating point
        (0.95, 0.94, "max", 0.02, False),
        (0.94, 0.94, "max", 0.0, False),
        (0.93, 0.94, "max", 0.0, False),
        (0.30, 0.31, "min", 0.005, True),
        (0.31, 0.30, "min", 0.0, False),
        (math.nan, 0.94, "max", 0.0, False),
        (0.95, math.nan, "max", 0.0, False),
        (math.inf, 0.94, "max", 0.0, False),
    ],
)
def test_a_deployment_has_to_be_better_by_the_margin(
    world: Answering, reached: float, now: float, mode: Any, margin: float, passes: bool
) -> None:
    new, former = two(world, reached, now)
    assert world.says(gates.better(held_out(), mode=mode, margin=margin), new, former).passes == passes


def test_the_verdict_of_a_comparison_names_both_numbers(world: Answering) -> None:
    new, former = two(world, 0.95, 0.94)
    verdict = world.says(gates.better(held_out(), margin=0.02), new, former)
    assert verdict.reason == (
        f"its mean of 10 held-out questions is 0.95, and 0.94 that of {former.id}, which answers now; "
        "at least 0.02 more is wanted"
    )


def test_where_nothing_answers_yet_there_is_nothing_to_be_better_than(world: Answering) -> None:
    new, _ = two(world, 0.1, 0.9)
    verdict = world.says(gates.better(held_out(), margin=0.5), new)
    assert verdict.passes
    assert "0.1, and nothing answers yet" in verdict.reason


def test_the_first_is_not_promoted_by_a_score_that_is_no_number(world: Answering) -> None:
    new, _ = two(world, math.nan, 0.9)
    assert not world.says(gates.better(held_out()), new).passes


def test_without_a_comparison_nothing_passes(world: Answering) -> None:
    new, former = two(world, 0.95, 0.94)
    world.faults.append(Fault(f"POST .*/deployment/{former.id}/", away(), times=99))
    verdict = world.says(gates.better(held_out(patience=30)), new, former)
    assert not verdict.passes
    assert f"0.95, but {former.id}, which answers now, cannot be asked" in verdict.reason


def test_both_are_asked_the_same_questions(world: Answering) -> None:
    new, former = two(world, 0.95, 0.94)
    asked: dict[str, list[Any]] = {new.id: [], former.id: []}
    world.answers = {each: lambda body, each=each: asked[each].append(body) or 0.5 for each in asked}  # type: ignore[misc]
    world.says(gates.better(held_out()), new, former)
    assert asked[new.id] == asked[former.id] == list(held_out().questions)


def test_the_accuracy_is_the_share_of_answers_with_the_right_label(world: Answering, tmp_path: Path) -> None:
    first = world.deployed("checkpoint-1")
    world.answers[first.id] = lambda body: {"digit": body["n"]} if body["n"] < 3 else "what?"
    examples = tmp_path / "examples.json"
    examples.write_text(json.dumps([{"n": n, "digit": n} for n in range(4)]))
    verdict = world.says(gates.score(gates.labelled(examples, label="digit"), at_least=0.7), first)
    assert verdict.reason == "its accuracy of 4 held-out questions is 0.75; at least 0.7 is wanted"


@pytest.mark.parametrize(("reached", "passes"), [(0.9, True), (0.95, True), (0.89, False), (math.nan, False)])
def test_a_score_is_at_least_what_is_wanted(world: Answering, reached: float, passes: bool) -> None:
    new, former = two(world, reached, 0.99)
    verdict = world.says(gates.score(held_out(), at_least=0.9), new, former)
    assert verdict.passes == passes
    assert verdict.reason == f"its mean of 10 held-out questions is {reached:g}; at least 0.9 is wanted"


# ---------------------------------------------------------------- a metric of the checkpoint

HISTORY = {10: {"loss": 3.0, "eval_loss": 0.5}, 20: {"eval_loss": 0.3}}


@pytest.fixture
def trained(world: Answering) -> Answering:
    scripts = [hf_checkpoint(step, step, HISTORY) for step in (10, 20)]
    world.add_job(script=JobScript([(0, "COMPLETED")], checkpoints=[*scripts, CheckpointScript("final", 30, {})]))
    world.time += 3600
    return world


@pytest.mark.parametrize("name", ["eval_loss", "loss"])
def test_a_metric_of_the_deployed_checkpoint_is_within_bounds(trained: Answering, name: str) -> None:
    gate = gates.metric(name, at_least=0.1, at_most=0.4)
    verdict = trained.says(gate, trained.deployed("checkpoint-20"))
    assert verdict.passes
    assert verdict.reason == f"{name} of checkpoint-20 is 0.3; at least 0.1 and at most 0.4 is wanted"
    assert not trained.says(gate, trained.deployed("checkpoint-10")).passes


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["final"], "final of deployment d1 of model m1 has no eval_loss; it has nothing"),
        (["checkpoint-99"], "has no eval_loss"),
        (["checkpoint-10", "checkpoint-20"], "where one checkpoint of a training job is meant"),
    ],
)
def test_a_metric_that_cannot_be_read_does_not_pass(trained: Answering, names: list[str], why: str) -> None:
    added = trained.add_deployment(deployments.template_request(definition(*names), "i-cpu"))
    deployment = trained.run(deployments.get(added.model, added.id))
    verdict = trained.says(gates.metric("eval_loss", at_most=1), deployment)
    assert not verdict.passes
    assert why in verdict.reason


def test_a_loss_is_that_of_evaluations_where_the_job_has_such(trained: Answering) -> None:
    trained.jobs[0].script.checkpoints.append(hf_checkpoint(30, 31, {**HISTORY, 30: {"loss": 0.2}}))
    verdict = trained.says(gates.metric("loss", at_most=0.4), trained.deployed("checkpoint-30"))
    assert not verdict.passes
    assert "has no eval_loss; it has loss" in verdict.reason


def test_a_metric_of_a_job_that_was_deleted_does_not_pass(trained: Answering) -> None:
    deployment = trained.deployed("checkpoint-10")
    trained.jobs[0].deleted = True
    verdict = trained.says(gates.metric("eval_loss", at_most=1), deployment)
    assert verdict.reason.startswith("eval_loss cannot be read: There is no job 'j1'")


# ---------------------------------------------------------------- a function


def test_a_function_objects_in_its_own_words(world: Answering) -> None:
    new, former = two(world, 0, 0)

    def not_on_fridays(deployment: Deployment, current: Deployment | None) -> str | None:
        return None if current else f"{deployment.id} would be the first, on a Friday"

    gate = gates.judged_by(not_on_fridays)
    assert world.says(gate, new, former) == Verdict(passes=True, reason="not_on_fridays does not object")
    assert world.says(gate, new).reason == f"{new.id} would be the first, on a Friday"


# ---------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    "make",
    [
        lambda: gates.metric("eval_loss"),
        lambda: gates.score(held_out()),
        lambda: gates.labelled([], label="digit"),
        lambda: gates.better(held_out(), mode="best"),
        lambda: gates.better(held_out(), margin=-0.1),
        lambda: gates.better(held_out(), margin=math.nan),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(make: Callable[[], Gate]) -> None:
    with pytest.raises(ValueError, match=r"at_least|mode|margin|examples"):
        make()
