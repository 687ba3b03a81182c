"""The best few checkpoints of a job, and what a gate job says of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from world import CheckpointScript, JobScript, World, hf_checkpoint

from truss_train_core import checkpoints
from truss_train_core.api.models import TrainingJob
from truss_train_core.errors import NoUsableCheckpoint
from truss_train_core.events import CheckpointChosen

HISTORY = {10: {"eval_loss": 2.0}, 20: {"eval_loss": 1.0}, 30: {"eval_loss": 1.5}, 40: {"eval_loss": 1.2}}


@pytest.fixture
def world() -> World:
    return World()


def ended(world: World, *scripts: CheckpointScript) -> TrainingJob:
    """A job with these checkpoints, an hour after its creation."""
    job = world.add_job(script=JobScript([(0, "COMPLETED")], checkpoints=list(scripts)))
    job.created -= 3600
    return TrainingJob.model_validate(world._job(job))


def four(**broken: bytes) -> list[CheckpointScript]:
    scripts = [hf_checkpoint(step, step, HISTORY) for step in (10, 20, 30, 40)]
    for script in scripts:
        if script.name.replace("-", "_") in broken:
            script.files["model.safetensors"] = broken[script.name.replace("-", "_")]
    return scripts


def top(world: World, job: TrainingJob, count: int = 3, **more: Any) -> tuple[checkpoints.Choice, ...]:
    return world.run(checkpoints.find_top([job], "eval_loss", "min", count, **more))


def names(choices: tuple[checkpoints.Choice, ...]) -> list[str]:
    return [each.checkpoint.checkpoint_id for each in choices]


def test_the_best_three_are_told_and_come_best_first(world: World) -> None:
    choices = top(world, ended(world, *four()))
    assert names(choices) == ["checkpoint-20", "checkpoint-40", "checkpoint-30"]
    assert [event.checkpoint for event in world.heard(CheckpointChosen)] == names(choices)


def test_what_is_not_whole_makes_room_for_the_next(world: World) -> None:
    job = ended(world, *four(checkpoint_20=b"cut off", checkpoint_30=b"cut off"))
    choices = top(world, job)
    assert names(choices) == ["checkpoint-40", "checkpoint-10"]
    assert {row.checkpoint for row in choices[0].table if row.rejected} == {"checkpoint-20", "checkpoint-30"}


def scores(world: World, **of: Any) -> TrainingJob:
    """A gate job that has written these scores, by checkpoint: names are written with underscores here."""
    content = json.dumps({name.replace("_", "-"): numbers for name, numbers in of.items()}).encode()
    return ended(world, CheckpointScript("scores", 1, {"scores.json": content}))


def test_the_scores_of_a_gate_job_decide_among_what_it_has_loaded(world: World) -> None:
    job = ended(world, *four())
    gate_job = scores(
        world, checkpoint_20={"accuracy": 0.8}, checkpoint_40={"accuracy": 0.9}, checkpoint_10={"accuracy": 1}
    )
    loaded = [(job.id, name) for name in names(top(world, job, 2))]
    sources = [checkpoints.scored_by(gate_job, loaded), *checkpoints.DEFAULT]
    choice = world.run(checkpoints.find_best([job], "accuracy", "max", sources=sources))
    assert (choice.checkpoint.checkpoint_id, choice.value) == ("checkpoint-40", 0.9)
    reasons = {row.checkpoint: row.rejected for row in choice.table}
    assert reasons["checkpoint-10"] == "no accuracy (it has eval_loss)"  # it was not loaded, so that was another one


def test_checkpoints_of_one_name_are_told_apart_by_their_jobs(world: World) -> None:
    first, second = ended(world, *four()), ended(world, *four())
    loaded = [(first.id, "checkpoint-20"), (second.id, "checkpoint-20")]
    both = {f"{first.id}/checkpoint-20": {"accuracy": 0.8}, f"{second.id}/checkpoint-20": {"accuracy": 0.9}}
    gate_job = ended(world, CheckpointScript("scores", 1, {"scores.json": json.dumps(both).encode()}))
    source = checkpoints.scored_by(gate_job, loaded)
    choice = world.run(checkpoints.find_best([first, second], "accuracy", "max", sources=[source]))
    assert choice.checkpoint.training_job_id == second.id


@pytest.mark.parametrize("content", [b"[1, 2]", b'{"checkpoint-20": 0.9}', b"not JSON"])
def test_scores_that_cannot_be_read_are_none(world: World, content: bytes) -> None:
    job, gate_job = ended(world, *four()), ended(world, CheckpointScript("scores", 1, {"scores.json": content}))
    source = checkpoints.scored_by(gate_job, [(job.id, "checkpoint-20")])
    with pytest.raises(NoUsableCheckpoint, match="no accuracy"):
        world.run(checkpoints.find_best([job], "accuracy", "max", sources=[source]))
