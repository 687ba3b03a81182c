"""What a run begins from: the checkpoint that production serves, named, pinned and told to the training code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from promotion_scene import Scene, scene_of

from truss_train_core import deployments, runs
from truss_train_core.definitions import (
    BasetenCheckpoint,
    CheckpointingConfig,
    Image,
    LoadCheckpointConfig,
    Runtime,
    TrainingJob,
    TrainingProject,
)
from truss_train_core.events import Notice, sentence
from truss_train_core.runs import CheckpointRef


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with scene_of(tmp_path / "data") as scene:
        yield scene


def project(**runtime: object) -> TrainingProject:
    runtime = {"checkpointing_config": CheckpointingConfig(enabled=True), **runtime}
    return TrainingProject(
        name="digits", job=TrainingJob(image=Image(base_image="i"), runtime=Runtime.model_validate(runtime))
    )


def test_a_run_begins_from_what_answers_in_production(scene: Scene) -> None:
    assert scene.run(runs.served_checkpoint("digits")) is None
    scene.run(deployments.promote(scene.deployed("checkpoint-12")))
    served = scene.run(runs.served_checkpoint("digits"))
    assert served == CheckpointRef(job_id=scene.job, name="checkpoint-12", step=12)


def test_no_run_begins_from_a_checkpoint_that_was_deleted(scene: Scene) -> None:
    scene.run(deployments.promote(scene.deployed("checkpoint-12")))
    scene.platform.runner.set(scene.job, "completed")
    scene.platform.move_on()
    scene.platform.call("DELETE", f"/v1/training_projects/{scene.project}/jobs/{scene.job}")
    assert scene.run(runs.served_checkpoint("digits")) is None
    (told,) = [event for event in scene.heard if isinstance(event, Notice)]
    assert sentence(told) == (
        f"checkpoint-12, which answers in production, was deleted with its job {scene.job}: no run can begin from it"
    )


def test_the_job_loads_it_by_name_and_nothing_else(scene: Scene) -> None:
    own = LoadCheckpointConfig(
        enabled=True,
        checkpoints=[BasetenCheckpoint.from_latest_checkpoint(project_name="digits")],
        download_folder="/elsewhere",
    )
    start = [CheckpointRef(job_id="j1", name=name) for name in ("checkpoint-12", "checkpoint-24")]
    given = project(load_checkpoint_config=own, environment_variables={"EPOCHS": "3"})
    runtime = runs.beginning_from(given, start).job.runtime
    assert runtime.load_checkpoint_config == LoadCheckpointConfig(
        enabled=True,
        checkpoints=[BasetenCheckpoint.from_named_checkpoint(each.name, "j1") for each in start],
        download_folder="/elsewhere",
    )
    assert runtime.environment_variables == {"EPOCHS": "3", runs.BEGINS_FROM: "checkpoint-12,checkpoint-24"}


def test_where_nothing_answers_yet_the_run_begins_from_nothing() -> None:
    given = project()
    assert runs.beginning_from(given, []) is given
