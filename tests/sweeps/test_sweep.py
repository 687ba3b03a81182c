"""Trials that find each other by name: stopped early, read, and the best checkpoint of all, in a world without I/O."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from world import Fault, JobScript, World, broken, hf_checkpoint

from truss_train_core import jobs, package, waiting
from truss_train_core.definitions import CheckpointingConfig, Image, Runtime, TrainingJob, TrainingProject
from truss_train_core.errors import NoUsableCheckpoint, RunFailed
from truss_train_core.events import AttemptEnded
from truss_train_core.runs import RunPlan, RunRecord, new_record, run, run_key, step
from truss_train_core.sweeps import Halving, Objective, Results, Trial, grid, markdown, picture, results, table, verdict

GOAL = Objective(metric="eval_loss", mode="min", halving=Halving(first=10, eta=2))
KEY = run_key("sweep")
RATES = [0.1, 0.2, 0.3, 0.4]
HOUR = 3600.0
Course = dict[int, dict[str, float]]


@pytest.fixture(autouse=True)
def _no_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "jittered", lambda seconds: seconds)
    monkeypatch.setattr(package, "upload", lambda packed, target, progress: None)
    monkeypatch.setattr(package, "user_env", lambda source_dir: {})


@pytest.fixture
def world() -> World:
    return World()


def trials(objective: Objective = GOAL) -> list[Trial]:
    return grid({"RATE": RATES}, objective, key=KEY)


def plan(trial: Trial, folder: Path, **wishes: Any) -> RunPlan:
    runtime = Runtime(checkpointing_config=CheckpointingConfig(enabled=True))
    job = TrainingJob(image=Image(base_image="python:3.12"), runtime=runtime)
    project = trial.project(TrainingProject(name="digits", job=job))
    return RunPlan(project=project, source_dir=folder, verdict=verdict(trial), **wishes)


def script(*losses: float, end: str = "COMPLETED", each: float = HOUR) -> JobScript:
    """A job that measures a loss every hour, at steps 10, 20, …, and then ends."""
    history: Course = {n * 10: {"eval_loss": loss} for n, loss in enumerate(losses, 1)}
    made = [hf_checkpoint(at, n * each, history) for n, at in enumerate(history, 1)]
    statuses = [(0.0, "PENDING"), (5.0, "RUNNING"), (len(losses) * each + 60, end)]
    return JobScript(statuses, checkpoints=made)


def others(world: World, trials: list[Trial], *scripts: JobScript) -> None:
    """Jobs of the first trials, begun a day ago."""
    now, world.time = world.time, world.time - 24 * HOUR
    for trial, each in zip(trials, scripts, strict=False):
        name = jobs.job_name(
            trial.project(TrainingProject(name="digits", job=_job())).job.name, run_key(trial.number), 1
        )
        world.add_job(body={"name": name}, script=each)
    world.time = now


def _job() -> TrainingJob:
    return TrainingJob(image=Image(base_image="i"))


def start(world: World, trial: Trial, folder: Path, **wishes: Any) -> RunRecord:
    wanted = plan(trial, folder, **wishes)
    return world.run(run(wanted, new_record(wanted, run_key(trial.number))))


def look(world: World, trials: list[Trial]) -> Results:
    return world.run(results("p1", trials))


def test_a_poor_trial_is_stopped_early_and_its_run_is_done(world: World, tmp_path: Path) -> None:
    made = trials()
    others(world, made, script(0.2, 0.1), script(0.3, 0.2))
    world.script = lambda name: script(0.5, 0.4, 0.3, 0.2)
    record = start(world, made[2], tmp_path)
    assert (record.phase, record.attempt.cause) == ("done", "stopped early")
    assert record.attempt.message == (
        "eval_loss is 0.5 at step 10; trial 1 (0.2), trial 2 (0.3) did better at step 10, beyond which 2 of 4 go on"
    )
    job = world.jobs[-1]
    assert job.stopped
    assert job.stopped - job.created < 2 * HOUR


def test_whoever_watches_is_told_that_it_was_no_failure(world: World, tmp_path: Path) -> None:
    made = trials()
    others(world, made, script(0.2), script(0.3))
    world.script = lambda name: script(0.5, 0.4)
    start(world, made[2], tmp_path)
    (ended,) = [event for event in world.events if isinstance(event, AttemptEnded)]
    assert ended.cause == "stopped early"


def test_a_good_trial_goes_on(world: World, tmp_path: Path) -> None:
    made = trials()
    others(world, made, script(0.2, 0.1), script(0.3, 0.2))
    world.script = lambda name: script(0.25, 0.05)
    assert start(world, made[2], tmp_path).attempt.cause == "completed"


def test_a_trial_of_nan_is_stopped_and_never_wins(world: World, tmp_path: Path) -> None:
    made = trials(Objective(metric="eval_loss", mode="min"))
    others(world, made, script(0.5, 0.4))
    world.script = lambda name: script(0.01, math.nan, 0.001)
    record = start(world, made[1], tmp_path)
    assert (record.attempt.cause, record.attempt.message) == ("stopped early", "eval_loss is nan since step 20")
    assert look(world, made).outcomes[1].state == "stopped early"
    world.jobs.clear()
    others(world, made, script(0.5, 0.4), script(math.nan, math.nan))
    assert look(world, made).expect_choice().value == 0.4


def test_the_checkpoints_of_a_trial_that_was_stopped_early_can_be_chosen(world: World, tmp_path: Path) -> None:
    made = trials(Objective(metric="eval_loss", mode="min", halving=Halving(first=20, eta=2)))
    others(world, made, script(0.5, 0.4), script(0.4, 0.5))
    world.script = lambda name: script(0.01, 0.9, 0.9)
    assert start(world, made[2], tmp_path).attempt.cause == "stopped early"
    found = look(world, made)
    assert found.chosen
    assert found.chosen.trial.number == 3


def test_a_job_that_somebody_else_stopped_is_a_failure_as_ever(world: World, tmp_path: Path) -> None:
    made = trials()
    world.script = lambda name: script(0.5, 0.4, end="STOPPED")
    with pytest.raises(RunFailed, match="was stopped"):
        start(world, made[2], tmp_path)
    assert look(world, made).outcomes[2].state == "stopped"


def test_a_process_that_dies_between_the_stop_and_the_end_is_followed_by_one_that_finds_the_verdict(
    world: World, tmp_path: Path
) -> None:
    made = trials()
    others(world, made, script(0.2), script(0.3))
    world.script = lambda name: script(0.5, end="STOPPED")  # stopped by whoever died
    wanted = plan(made[2], tmp_path)
    record = new_record(wanted, KEY)
    while record.phase != "training":
        record = world.run(step(record, wanted))
    world.time += 2 * HOUR
    record = world.run(run(wanted, record))
    assert (record.phase, record.attempt.cause) == ("done", "stopped early")


def test_a_sibling_that_cannot_be_read_does_not_end_the_wait(world: World, tmp_path: Path) -> None:
    made = trials()
    others(world, made, script(0.2), script(0.3))
    world.script = lambda name: script(0.5, 0.4)
    fault = Fault(r"GET .*/jobs/j1/checkpoint_files", broken(), times=2)
    world.faults.append(fault)
    assert start(world, made[2], tmp_path).attempt.cause == "stopped early"
    assert fault.times == 0


def test_the_siblings_are_read_only_when_they_are_compared_with(world: World, tmp_path: Path) -> None:
    made = trials(Objective(metric="eval_loss", mode="min", halving=Halving(first=1000)))
    others(world, made, script(0.2), script(0.3))
    world.script = lambda name: script(0.5, 0.4)
    start(world, made[2], tmp_path)
    assert not [call for call in world.calls if "/jobs/j1/" in call or "/jobs/j2/" in call]


def test_the_results_tell_what_became_of_each_trial(world: World) -> None:
    made = trials()
    others(world, made, script(0.3, 0.1), script(0.5, end="FAILED"), script(0.6, end="STOPPED"))
    world.jobs[1].script.message = "CUDA out of memory\nat line 3"
    found = look(world, made)
    assert [outcome.state for outcome in found.outcomes] == ["completed", "failed", "stopped early", "not submitted"]
    assert found.outcomes[1].reason == "CUDA out of memory"
    assert table(found)[:2] == [
        {
            "trial": "★ 1",
            "RATE": "0.1",
            "eval_loss": "0.1",
            "at step": "20",
            "state": "completed",
            "checkpoint": "checkpoint-20",
            "why": "",
        },
        {
            "trial": "2",
            "RATE": "0.2",
            "eval_loss": "0.5",
            "at step": "10",
            "state": "failed",
            "checkpoint": "",
            "why": "CUDA out of memory",
        },
    ]
    assert "| ★ 1 | 0.1 | 0.1 | 20 | completed | checkpoint-20 |  |" in markdown(found)


def test_the_picture_has_a_line_for_each_trial_and_marks_the_chosen(world: World) -> None:
    made = trials()
    others(world, made, script(0.3, 0.1), script(0.5, 1e9), script(0.6, 0.7, end="STOPPED"))
    drawn = picture(look(world, made))
    assert drawn
    assert drawn.count("<polyline") == 3
    assert "★ trial 1: RATE=0.1" in drawn
    assert "2 completed, 1 stopped early, 1 not submitted" in drawn
    assert "1e+09" not in drawn  # one that diverges does not flatten the others


def test_a_sweep_that_has_measured_nothing_has_no_picture_and_no_choice(world: World) -> None:
    made = trials()
    others(world, made, script(end="FAILED"))
    found = look(world, made)
    assert picture(found) is None
    assert "Nothing was chosen" in markdown(found)
    with pytest.raises(NoUsableCheckpoint, match="None of 4 trials has a checkpoint to choose"):
        found.expect_choice()


def test_an_attempt_that_goes_on_adds_to_what_its_trial_has_measured(world: World) -> None:
    made = trials()
    others(world, made, script(0.5, end="FAILED"))
    others(world, made, script(0.4, 0.3))  # a second attempt, which measured step 10 anew
    assert look(world, made).outcomes[0].course == {10: 0.5, 20: 0.3}
