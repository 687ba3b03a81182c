"""Budgets: what counts as spent, and that a run which has spent everything stops its job and begins no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from world import Fault, JobScript, World, hf_checkpoint

from truss_train_core.definitions import CheckpointingConfig, Compute, Image, Runtime, TrainingJob, TrainingProject
from truss_train_core.errors import BudgetSpent, Forbidden, RunFailed
from truss_train_core.events import Notice
from truss_train_core.runs import (
    Budget,
    NodePrice,
    RecordChanged,
    RunPlan,
    RunRecord,
    Usage,
    new_record,
    reopened,
    run,
    run_key,
    usage,
)

KEY = run_key("run", "task")
WAITS = 600.0  # seconds in the queue
HOUR = 3600.0
GPUS = 8


def plan(folder: Path, budget: Budget, accelerator: str | None = "H100:4") -> RunPlan:
    runtime = Runtime(checkpointing_config=CheckpointingConfig(enabled=True))
    compute = Compute(node_count=2, accelerator=accelerator)
    job = TrainingJob(image=Image(base_image="python:3.12"), compute=compute, runtime=runtime)
    return RunPlan(project=TrainingProject(name="digits", job=job), source_dir=folder, budget=budget, max_failures=5)


def script(hours: float, end: str) -> JobScript:
    """A job that waits, and then runs for so many hours; each attempt gets further than the one before."""
    statuses = [(0.0, "PENDING"), (WAITS, "RUNNING"), (WAITS + hours * HOUR, end)]
    return JobScript(statuses, checkpoints=[hf_checkpoint(10, WAITS + 60, {10: {"loss": 1.0}})])


def start(world: World, plan: RunPlan, record: RunRecord | None = None) -> RunRecord:
    return world.run(run(plan, record or new_record(plan, KEY)))


def failure(world: World, plan: RunPlan, record: RunRecord | None = None) -> str:
    with pytest.raises(RunFailed) as caught:
        start(world, plan, record)
    return str(caught.value)


@pytest.mark.parametrize(
    ("budget", "spent"),
    [
        (Budget(gpu_hours=8), r"8(\.\d+)? GPU-hours are spent of 8"),
        (Budget(runtime=HOUR), r"36\d\d s of running time are spent of 3600 s"),
        (Budget(cost=10, price=NodePrice(dedicated=5)), r"the cost is 10\.\d\d, of 10\.00 that may be spent"),
    ],
)
def test_a_job_is_stopped_once_its_run_has_spent_its_budget(
    world: World, tmp_path: Path, budget: Budget, spent: str
) -> None:
    world.script = lambda name: script(10, "COMPLETED")
    said = failure(world, plan(tmp_path, budget))
    (job,) = world.jobs
    assert job.stopped
    assert WAITS + HOUR <= job.stopped - job.created <= WAITS + HOUR + 60  # the queue costs nothing
    assert re.search(f"was stopped: {spent}", said)


def test_the_attempts_of_a_run_spend_one_budget(world: World, tmp_path: Path) -> None:
    world.script = lambda name: script(0.75, "PREEMPTED") if (name or "").endswith("-1") else script(9, "COMPLETED")
    assert "GPU-hours are spent of 8" in failure(world, plan(tmp_path, Budget(gpu_hours=8)))
    _, second = world.jobs
    assert second.stopped
    assert WAITS + HOUR / 4 - 60 <= second.stopped - second.created <= WAITS + HOUR / 4 + 60


def test_a_run_within_its_budget_is_left_alone(world: World, tmp_path: Path) -> None:
    world.script = lambda name: script(0.5, "COMPLETED")
    record = start(world, plan(tmp_path, Budget(runtime=HOUR, gpu_hours=8)))
    assert record.phase == "done"
    assert world.run(usage(record)) == Usage(
        seconds=HOUR / 2, gpu_seconds=GPUS * HOUR / 2, dedicated_node_seconds=2 * HOUR / 2
    )


def test_no_attempt_is_submitted_when_nothing_is_left_until_the_budget_is_raised(world: World, tmp_path: Path) -> None:
    world.script = lambda name: script(10 if (name or "").endswith("-1") else 1, "COMPLETED")
    story = plan(tmp_path, Budget(gpu_hours=8))
    failure(world, story)
    (attempt,) = world.jobs
    again = reopened(story, world.heard(RecordChanged)[-1].record)
    with pytest.raises(BudgetSpent, match=f"GPU-hours are spent of 8: no attempt of run {KEY} follows.*allow for more"):
        start(world, story, again)
    assert world.jobs == [attempt]
    raised = start(world, plan(tmp_path, Budget(gpu_hours=20)), again)
    assert raised.phase == "done"
    assert raised.attempt.started_from
    assert raised.attempt.started_from.name == "checkpoint-10"


def test_a_key_that_may_not_see_the_queue_counts_from_the_creation_and_says_so(world: World, tmp_path: Path) -> None:
    world.script = lambda name: script(10, "COMPLETED")
    world.faults.append(Fault("queue_context", Forbidden("admins only", status=403), times=99))
    failure(world, plan(tmp_path, Budget(runtime=HOUR)))
    (job,) = world.jobs
    assert job.stopped
    assert HOUR <= job.stopped - job.created <= HOUR + 60
    assert any("counts as running time" in notice.text for notice in world.heard(Notice))


def test_without_a_budget_nothing_is_asked_for_it(world: World, tmp_path: Path) -> None:
    world.script = lambda name: script(0.5, "COMPLETED")
    start(world, plan(tmp_path, Budget()))
    assert world.called("queue_context") == 0


def test_gpu_hours_of_a_job_without_gpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the job has no GPU: limit its running time"):
        plan(tmp_path, Budget(gpu_hours=1), accelerator=None)


def test_spot_and_dedicated_nodes_have_prices_of_their_own() -> None:
    used = Usage(spot_node_seconds=2 * HOUR, dedicated_node_seconds=HOUR)
    assert NodePrice(dedicated=5, spot=2).cost(used) == 9
    assert NodePrice(dedicated=5).cost(used) == 15


def test_a_budget_of_cost_without_a_price_is_refused() -> None:
    with pytest.raises(ValueError, match="say what a node costs"):
        Budget(cost=10)
