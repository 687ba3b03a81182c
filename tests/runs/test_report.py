"""The report of a run: what each attempt took, what was lost, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from world import Fault, JobScript, World, hf_checkpoint

from truss_train_core.api.flows import Flow, now
from truss_train_core.api.models import TrainingJob as ApiJob
from truss_train_core.definitions import CheckpointingConfig, Compute, Image, Runtime, TrainingJob, TrainingProject
from truss_train_core.errors import Forbidden
from truss_train_core.runs import Attempt, NodePrice, RunPlan, RunRecord, new_record, report, run
from truss_train_core.runs.early import Verdict

HOUR = 3600.0
WAITS = 600.0


def preempted(times: int, saved: Callable[[int], float | None]) -> Callable[[str | None], JobScript]:
    """Attempts that run for an hour; `saved` tells when each saves its checkpoint, in seconds after its release."""

    def script(name: str | None) -> JobScript:
        number = int((name or "").rpartition("-")[2])
        at = saved(number)
        history = {number * 10: {"loss": 1.0}}
        checkpoints = [] if at is None else [hf_checkpoint(number * 10, WAITS + at, history)]
        end = "PREEMPTED" if number <= times else "COMPLETED"
        return JobScript([(0, "PENDING"), (WAITS, "RUNNING"), (WAITS + HOUR, end)], checkpoints=checkpoints)

    return script


def finished(world: World, folder: Path, verdict: Verdict | None = None) -> RunRecord:
    runtime = Runtime(checkpointing_config=CheckpointingConfig(enabled=True))
    compute = Compute(node_count=2, availability_model="spot")
    job = TrainingJob(image=Image(base_image="python:3.12"), compute=compute, runtime=runtime)
    plan = RunPlan(
        project=TrainingProject(name="digits", job=job), source_dir=folder, max_preemptions=20, verdict=verdict
    )
    return world.run(run(plan, new_record(plan, "k")))


def test_each_preemption_is_reported_with_its_queue_its_loss_and_its_cost(world: World, tmp_path: Path) -> None:
    world.script = preempted(3, lambda number: None if number == 2 else 40 * 60)
    record = finished(world, tmp_path)
    told = world.run(report(record, NodePrice(dedicated=9, spot=3)))

    assert [each.ended for each in told.attempts] == ["preempted", "preempted", "preempted", "completed"]
    assert [each.number for each in told.attempts] == [1, 2, 3, 4]
    assert [each.started_from for each in told.attempts] == [None, "checkpoint-10", "checkpoint-10", "checkpoint-30"]
    assert [each.queued for each in told.attempts] == [WAITS] * 4
    assert [each.used.seconds for each in told.attempts] == [HOUR] * 4
    assert [each.lost for each in told.attempts] == [20 * 60, HOUR, 20 * 60, 0]  # the second saved nothing
    assert [each.cost for each in told.attempts] == [6.0] * 4  # two nodes at 3 for an hour
    assert [each.lost_cost for each in told.attempts] == pytest.approx([2, 6, 2, 0])
    assert (told.preemptions, told.queued, told.used.seconds, told.lost) == (3, 4 * WAITS, 4 * HOUR, HOUR + 40 * 60)
    assert (told.cost, told.lost_cost) == pytest.approx((24, 10))
    *_, total = str(told).splitlines()
    assert total.split() == ["total", "3", "preempted", "0:40:00", "4:00:00", "1:40:00", "24.00", "10.00"]


def test_what_was_stopped_early_on_purpose_is_not_lost(world: World, tmp_path: Path) -> None:
    """A poor trial of a sweep: nobody goes on from it, so nothing is done again."""
    world.script = preempted(1, lambda number: 40 * 60)

    def verdict(job: ApiJob) -> Flow[str | None]:
        yield from now()
        return "it does poorly" if (job.name or "").endswith("-2") else None

    record = finished(world, tmp_path, verdict)
    told = world.run(report(record, NodePrice(dedicated=9, spot=3)))
    assert [each.ended for each in told.attempts] == ["preempted", "stopped early"]
    assert [each.lost for each in told.attempts] == [20 * 60, 0]
    assert [each.lost_cost for each in told.attempts] == pytest.approx([2, 0])


def test_without_a_price_no_costs_are_told_and_a_secret_queue_is_running_time(world: World, tmp_path: Path) -> None:
    world.script = preempted(0, lambda number: 60)
    record = finished(world, tmp_path)
    world.faults.append(Fault("queue_context", Forbidden("admins only", status=403), times=99))
    told = world.run(report(record))
    (attempt,) = told.attempts
    assert (attempt.queued, attempt.used.seconds, attempt.cost) == (None, WAITS + HOUR, None)
    assert "not told" in str(told)
    assert "cost" not in str(told)


def test_attempts_that_the_record_left_out_are_reported(world: World, tmp_path: Path) -> None:
    world.script = preempted(2, lambda number: 40 * 60)
    record = finished(world, tmp_path)
    told = world.run(report(record.changed(attempts=record.attempts[-1:])))
    assert [each.number for each in told.attempts] == [1, 2, 3]
    assert told.lost == 2 * 20 * 60


def test_of_a_run_that_goes_on_there_is_a_report_too(world: World) -> None:
    world.script = preempted(0, lambda number: None)
    world.add_job(body={"name": "digits-k-1"})
    world.time += WAITS / 2
    attempt = Attempt(number=1, job_name="digits-k-1")
    record = RunRecord(key="k", project_name="digits", project_id="p1", attempts=(attempt,))
    (waiting,) = world.run(report(record)).attempts
    assert (waiting.ended, waiting.used.seconds, waiting.lost) == ("pending", 0, 0)
    assert waiting.queued == pytest.approx(WAITS / 2, abs=1)
    world.time += WAITS / 2 + HOUR / 2
    (running,) = world.run(report(record)).attempts
    assert (running.ended, running.queued, running.lost) == ("running", WAITS, 0)
    assert running.used.seconds == pytest.approx(HOUR / 2, abs=2)
