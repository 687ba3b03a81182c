"""Deadlines: near one, attempts begin on dedicated capacity; past it, the job is stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from world import START, JobScript, World, hf_checkpoint

from truss_train_core.definitions import CheckpointingConfig, Compute, Image, Runtime, TrainingJob, TrainingProject
from truss_train_core.errors import BudgetSpent, RunFailed
from truss_train_core.events import MovedToDedicated
from truss_train_core.runs import Budget, Deadline, RecordChanged, RunPlan, RunRecord, new_record, reopened, run

HOUR = 3600.0


def plan(folder: Path, hours: float, margin: float, model: str = "spot") -> RunPlan:
    """To be through so many hours after the world began; with a margin in hours."""
    runtime = Runtime(checkpointing_config=CheckpointingConfig(enabled=True))
    compute = Compute(availability_model=model)
    job = TrainingJob(image=Image(base_image="python:3.12"), compute=compute, runtime=runtime)
    at = datetime.fromtimestamp(START, timezone.utc) + timedelta(hours=hours)
    budget = Budget(deadline=Deadline(at=at, margin=margin * HOUR))
    return RunPlan(project=TrainingProject(name="digits", job=job), source_dir=folder, budget=budget)


def preempted(after: float, times: int) -> Callable[[str | None], JobScript]:
    """Attempts that are taken away so many hours after their creation, so many times; each gets further."""

    def script(name: str | None) -> JobScript:
        number = int((name or "").rpartition("-")[2])
        end = "PREEMPTED" if number <= times else "COMPLETED"
        saved = hf_checkpoint(number * 10, 60, {number * 10: {"loss": 1.0}})
        return JobScript([(0, "PENDING"), (10, "RUNNING"), (after * HOUR, end)], checkpoints=[saved])

    return script


def start(world: World, plan: RunPlan) -> RunRecord:
    return world.run(run(plan, new_record(plan, "k")))


def capacities(world: World) -> list[str]:
    return [job.body["compute"]["availability_model"] for job in world.jobs]


def test_attempts_that_begin_near_the_deadline_get_dedicated_capacity_and_what_runs_is_left_alone(
    world: World, tmp_path: Path
) -> None:
    world.script = preempted(after=1, times=2)
    record = start(world, plan(tmp_path, hours=4, margin=2.5))
    assert [attempt.cause for attempt in record.attempts] == ["preempted", "preempted", "completed"]
    assert capacities(world) == ["spot", "spot", "dedicated"]  # the second was at work when the margin began
    (moved,) = world.heard(MovedToDedicated)
    assert moved.job_name == record.attempt.job_name
    assert "are left until the deadline at 2025-06-15 19:06:40 UTC, less than the margin of 2:30:00" in moved.reason


def test_a_job_that_waits_for_spot_capacity_is_moved_when_the_deadline_is_near(world: World, tmp_path: Path) -> None:
    world.script = lambda name: JobScript([(0, "PENDING"), (2 * HOUR, "RUNNING"), (3 * HOUR, "COMPLETED")])
    start(world, plan(tmp_path, hours=4, margin=3))
    assert capacities(world) == ["dedicated"]
    assert world.called("PATCH") == 1


@pytest.mark.parametrize(("margin", "model"), [(0.0, "spot"), (9.0, "dedicated")])
def test_nothing_is_moved_without_a_margin_or_from_dedicated_capacity(
    world: World, tmp_path: Path, margin: float, model: str
) -> None:
    world.script = preempted(after=1, times=1)
    start(world, plan(tmp_path, hours=4, margin=margin, model=model))
    assert capacities(world) == [model, model]
    assert not world.heard(MovedToDedicated)


@pytest.mark.parametrize("status", ["RUNNING", "PENDING"])
def test_past_the_deadline_the_job_is_stopped_and_none_follows_until_there_is_more_time(
    world: World, tmp_path: Path, status: str
) -> None:
    world.script = lambda name: JobScript([(0, "PENDING"), (10, status), (9 * HOUR, "COMPLETED")])
    late = plan(tmp_path, hours=2, margin=0)
    with pytest.raises(RunFailed, match=r"the deadline, 2025-06-15 17:06:40 UTC, has passed, and job .* was stopped"):
        start(world, late)
    (job,) = world.jobs
    assert job.stopped
    assert 2 * HOUR <= job.stopped - START <= 2 * HOUR + 60

    again = reopened(late, world.heard(RecordChanged)[-1].record)
    with pytest.raises(BudgetSpent, match="has passed: no attempt of run k follows"):
        world.run(run(late, again))
    assert world.jobs == [job]
    assert world.run(run(plan(tmp_path, hours=20, margin=0), again)).phase == "done"


def test_a_deadline_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        Deadline(at=datetime(2026, 1, 1))
