"""Runs: the whole story, killed anywhere and continued from its record, ends the same way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from world import (
    CheckpointScript,
    DeploymentScript,
    Fault,
    JobScript,
    Killed,
    Line,
    World,
    away,
    broken,
    hf_checkpoint,
)

from truss_train_core import jobs, package, waiting
from truss_train_core.definitions import (
    BasetenCheckpoint,
    CheckpointingConfig,
    Compute,
    DeployCheckpointsConfig,
    Image,
    LoadCheckpointConfig,
    Runtime,
    TrainingJob,
    TrainingProject,
)
from truss_train_core.deployments import LABELS
from truss_train_core.errors import DeploymentFailed, NoUsableCheckpoint, RunFailed, UploadError, WaitTimeout
from truss_train_core.events import (
    ApiOutage,
    AttemptEnded,
    AttemptStarted,
    CheckpointChosen,
    CheckpointSeen,
    DeploymentCreated,
    DeploymentStatusChanged,
    JobStatusChanged,
    JobSubmitted,
    LogLines,
    ModelAnswered,
    Notice,
    Resuming,
)
from truss_train_core.runs import (
    Best,
    RecordChanged,
    RunPlan,
    RunRecord,
    jobs_of,
    new_record,
    reopened,
    run,
    run_key,
    step,
)
from truss_train_core.waiting import Limits

KEY = run_key("run", "task")
HISTORY = {10: {"eval_loss": 3.0}, 20: {"eval_loss": 1.0}, 30: {"eval_loss": 2.0}, 40: {"eval_loss": 1.5}}


@pytest.fixture(autouse=True)
def _no_upload_and_no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "jittered", lambda seconds: seconds)  # so that a run has the same effects each time
    monkeypatch.setattr(package, "upload", lambda packed, target, progress: None)
    monkeypatch.setattr(package, "user_env", lambda source_dir: {})


@pytest.fixture
def world() -> World:
    return World()


def project(load: LoadCheckpointConfig | None = None) -> TrainingProject:
    runtime = Runtime(checkpointing_config=CheckpointingConfig(enabled=True), load_checkpoint_config=load)
    return TrainingProject(
        name="digits", job=TrainingJob(name="mlp", image=Image(base_image="python:3.12"), runtime=runtime)
    )


def plan(folder: Path, **changes: Any) -> RunPlan:
    fields: dict[str, Any] = {
        "project": project(),
        "source_dir": folder,
        "best": Best(metric="eval_loss", mode="min"),
        "deploy": DeployCheckpointsConfig(model_name="digits", compute=Compute()),
        "question": {"image": []},
        **changes,
    }
    return RunPlan(**fields)


def attempts(*scripts: JobScript) -> Callable[[str | None], JobScript]:
    """What becomes of the jobs of the first, second … attempt; the last goes for all further ones."""

    def script(name: str | None) -> JobScript:
        number = int(re.findall(r"\d+$", name or "1")[0])
        return scripts[min(number, len(scripts)) - 1]

    return script


def completes(*steps: int) -> JobScript:
    checkpoints = [hf_checkpoint(step, 3 + n, HISTORY) for n, step in enumerate(steps)]
    return JobScript([(0, "PENDING"), (2, "RUNNING"), (15, "COMPLETED")], checkpoints=checkpoints)


def breaks(status: str, *steps: int, message: str | None = None, half: CheckpointScript | None = None) -> JobScript:
    checkpoints = [hf_checkpoint(step, 3 + n, HISTORY) for n, step in enumerate(steps)] + ([half] if half else [])
    return JobScript([(0, "PENDING"), (2, "RUNNING"), (12, status)], message=message, checkpoints=checkpoints)


def start(world: World, plan: RunPlan, record: RunRecord | None = None, **kills: int) -> RunRecord:
    return world.run(run(plan, record or new_record(plan, KEY)), **kills)


def kept(world: World) -> RunRecord | None:
    """The last record that a listener kept, as it comes out of its file."""
    changes = world.heard(RecordChanged)
    return RunRecord.model_validate_json(changes[-1].record.model_dump_json()) if changes else None


# ---------------------------------------------------------------- the story


def test_a_run_trains_resumes_chooses_deploys_and_asks(world: World, tmp_path: Path) -> None:
    world.script = attempts(breaks("PREEMPTED", 10, 20), completes(30, 40))
    record = start(world, plan(tmp_path))
    assert record.phase == "done"
    assert [(each.number, each.job_id, each.cause) for each in record.attempts] == [
        (1, "j1", "preempted"),
        (2, "j2", "completed"),
    ]
    assert record.attempts[1].started_from == record.attempts[0].newest
    assert record.attempts[1].started_from
    assert record.attempts[1].started_from.name == "checkpoint-20"
    assert record.choice
    assert (record.choice.checkpoint.job_id, record.choice.checkpoint.name) == ("j1", "checkpoint-20")
    assert (record.choice.metric, record.choice.mode, record.choice.value) == ("eval_loss", "min", 1.0)
    assert record.deployment
    assert (record.deployment.deployment_id, record.deployment.status) == ("d1", "ACTIVE")
    assert record.answer == '{"digit": 7, "path": "predict"}'


def test_whoever_listens_hears_the_whole_story(world: World, tmp_path: Path) -> None:
    world.script = attempts(breaks("PREEMPTED", 10, 20, message="spot capacity was reclaimed"), completes(30, 40))
    start(world, plan(tmp_path))
    assert [event.started_from for event in world.heard(AttemptStarted)] == [None, "checkpoint-20"]
    assert [(event.cause, event.message) for event in world.heard(AttemptEnded)] == [
        ("preempted", "spot capacity was reclaimed"),
        ("completed", None),
    ]
    assert [event.checkpoint for event in world.heard(Resuming)] == ["checkpoint-20"]
    assert {event.step for event in world.heard(CheckpointSeen)} == {10, 20, 30, 40}
    assert len(world.heard(CheckpointChosen)[0].table) == 4
    assert len(world.heard(ModelAnswered)) == 1
    phases = [event.record.phase for event in world.heard(RecordChanged)]
    assert phases == [
        "starting",
        "submitting",
        "training",
        "resuming",
        "submitting",
        "training",
        "choosing",
        "deploying",
        "serving",
        "asking",
        "done",
    ]


def test_a_resumed_job_loads_the_pinned_checkpoint_alone(world: World, tmp_path: Path) -> None:
    load = LoadCheckpointConfig(
        enabled=True,
        checkpoints=[BasetenCheckpoint.from_named_checkpoint("checkpoint-900", "other")],
        download_folder="/data/loaded",
    )
    world.script = attempts(breaks("FAILED", 10), completes(20))
    start(world, plan(tmp_path, project=project(load)))
    first, second = (job.body["runtime"]["load_checkpoint_config"] for job in world.jobs)
    assert [each["checkpoint_name"] for each in first["checkpoints"]] == ["checkpoint-900"]
    assert second == {
        "enabled": True,
        "download_folder": "/data/loaded",
        "checkpoints": [{"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-10", "job_id": "j1"}],
    }


def test_where_nothing_can_be_used_the_runs_own_start_applies_and_that_is_said(world: World, tmp_path: Path) -> None:
    load = LoadCheckpointConfig(
        enabled=True, checkpoints=[BasetenCheckpoint.from_named_checkpoint("checkpoint-900", "other")]
    )
    half = CheckpointScript("checkpoint-10", 10, {"trainer_state.json": b"{"})
    world.script = attempts(breaks("PREEMPTED", half=half), completes(20))
    start(world, plan(tmp_path, project=project(load)))
    assert world.jobs[0].body["runtime"] | {"artifacts": 0} == world.jobs[1].body["runtime"] | {"artifacts": 0}
    (event,) = world.heard(Resuming)
    assert event.checkpoint is None
    assert event.reason.startswith("From the run's own starting point.")
    assert "checkpoint-10: its trainer_state.json cannot be read" in event.reason


def test_the_latest_checkpoint_of_a_project_is_pinned_when_the_run_begins(world: World, tmp_path: Path) -> None:
    """The second attempt must not take the first one's half-written checkpoint for the latest of the project."""
    world.add_job("p1", {"name": "earlier"}, completes(10, 20)).created -= 1000
    world.add_job("p1", {"name": "empty"}, JobScript([(0, "FAILED")])).created -= 500
    half = CheckpointScript("checkpoint-40", 10, {"trainer_state.json": b"{"})
    world.script = attempts(breaks("PREEMPTED", half=half), completes(30))
    latest = BasetenCheckpoint.from_latest_checkpoint(project_name="digits")
    record = start(world, plan(tmp_path, project=project(LoadCheckpointConfig(enabled=True, checkpoints=[latest]))))
    pinned = [{"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-20", "job_id": "j1"}]
    for job in world.jobs[2:]:
        assert job.body["runtime"]["load_checkpoint_config"]["checkpoints"] == pinned
    assert [each.name for each in record.origin] == ["checkpoint-20"]


def test_a_name_without_a_job_is_pinned_when_the_run_begins(world: World, tmp_path: Path) -> None:
    world.add_job("p1", {"name": "earlier"}, completes(10, 20)).created -= 1000
    world.add_job("p1", {"name": "newer"}, completes(20)).created -= 500
    world.script = attempts(breaks("PREEMPTED", half=None), completes(30))
    of_project = BasetenCheckpoint.from_named_checkpoint("checkpoint-10", project_name="digits")
    record = start(world, plan(tmp_path, project=project(LoadCheckpointConfig(enabled=True, checkpoints=[of_project]))))
    pinned = [{"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-10", "job_id": "j1"}]
    for job in world.jobs[2:]:
        assert job.body["runtime"]["load_checkpoint_config"]["checkpoints"] == pinned
    assert [(each.job_id, each.name) for each in record.origin] == [("j1", "checkpoint-10")]


def test_a_latest_checkpoint_that_is_not_there_is_an_error_before_anything_is_created(
    world: World, tmp_path: Path
) -> None:
    world.projects["p1"] = "digits"
    latest = BasetenCheckpoint.from_latest_checkpoint(project_name="digits")
    with pytest.raises(NoUsableCheckpoint, match="No job of project 'digits'"):
        start(world, plan(tmp_path, project=project(LoadCheckpointConfig(enabled=True, checkpoints=[latest]))))
    assert not world.jobs


def test_a_runs_own_job_is_not_the_latest_that_it_starts_from(world: World, tmp_path: Path) -> None:
    """A zombie of this run has created its first job already."""
    latest = BasetenCheckpoint.from_latest_checkpoint(project_name="digits")
    story = plan(tmp_path, project=project(LoadCheckpointConfig(enabled=True, checkpoints=[latest])))
    world.add_job("p1", {"name": "earlier"}, completes(10)).created -= 1000
    world.add_job("p1", {"name": story.name(KEY, 1)}, completes(40)).created -= 500
    assert [each.name for each in start(world, story).origin] == ["checkpoint-10"]


def test_the_checkpoints_of_a_twin_that_was_stopped_are_no_candidates(world: World, tmp_path: Path) -> None:
    story = plan(tmp_path, best=None)
    world.script = attempts(completes(10))
    record = new_record(story, KEY)
    while record.phase != "choosing":
        record = world.run(step(record, story))
    twin = world.add_job("p1", {"name": record.attempt.job_name}, completes(10, 20))
    world.time += 60
    twin.stopped = world.time
    done = start(world, story, record)
    assert done.choice
    assert (done.choice.checkpoint.job_id, done.choice.checkpoint.name) == ("j1", "checkpoint-10")


def test_training_alone_ends_when_it_has_completed(world: World, tmp_path: Path) -> None:
    record = start(world, plan(tmp_path, best=None, deploy=None, question=None))
    assert (record.phase, record.choice, record.deployment) == ("done", None, None)


def test_without_a_metric_the_newest_deployable_checkpoint_is_deployed(world: World, tmp_path: Path) -> None:
    script = completes(10, 20)
    script.checkpoints.append(hf_checkpoint(30, 9, HISTORY, kind=None))
    world.script = attempts(script)
    record = start(world, plan(tmp_path, best=None))
    assert record.choice
    assert (record.choice.checkpoint.name, record.choice.metric) == ("checkpoint-20", None)


def test_the_log_is_emitted_unless_the_plan_says_otherwise(world: World, tmp_path: Path) -> None:
    world.script = attempts(completes(10))
    start(world, plan(tmp_path))
    assert world.called("/logs") > 0
    quiet = World()
    quiet.script = world.script
    start(quiet, plan(tmp_path, follow_logs=False))
    assert quiet.called("/logs") == 0
    assert not quiet.heard(LogLines)


def printing(world: World, **visible: float) -> Callable[[Any], None]:
    """A listener by which the first job prints lines in its tenth second, each visible some seconds after its start."""

    def listen(event: Any) -> None:
        if isinstance(event, JobSubmitted):
            job = world.jobs[0]
            printed = int((job.created + 10) * 1e9)
            job.lines = [
                Line(printed + n, text, "g00r0", job.created + at) for n, (text, at) in enumerate(visible.items())
            ]

    return listen


def test_late_lines_of_the_log_keep_nobody_waiting_and_are_not_lost(world: World, tmp_path: Path) -> None:
    world.script, world.listener = attempts(completes(10)), printing(world, early=10, late=19, last=24)
    start(world, plan(tmp_path))
    told: list[Any] = []
    for event in world.events:
        if isinstance(event, LogLines):
            told += [line.message for line in event.lines]
        elif isinstance(event, DeploymentCreated) or (
            isinstance(event, DeploymentStatusChanged) and event.status == "ACTIVE"
        ):
            told.append(type(event))
    assert told == ["early", DeploymentCreated, "late", "last", DeploymentStatusChanged]


@pytest.mark.parametrize("goes_on", [True, False])
def test_late_lines_are_not_lost_where_nothing_follows(world: World, tmp_path: Path, goes_on: bool) -> None:
    world.script, world.listener = attempts(completes()), printing(world, early=10, late=24)
    if goes_on:
        with pytest.raises(NoUsableCheckpoint):
            start(world, plan(tmp_path))
    else:
        start(world, plan(tmp_path, best=None, deploy=None, question=None))
    assert [line.message for event in world.heard(LogLines) for line in event.lines] == ["early", "late"]


# ---------------------------------------------------------------- killed and continued


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that are far apart from the first one on: there are fewer points to be killed at, of no other kind."""
    monkeypatch.setattr("truss_train_core.jobs.LIVE", jobs.Pace(longest=10.0))
    monkeypatch.setattr("truss_train_core.deployments.serving.FIRST_LOOKS", 3.0)


def whole_story(folder: Path) -> tuple[World, RunPlan]:
    world = World()
    world.script = attempts(breaks("PREEMPTED", 10, 20), breaks("FAILED", 30), completes(40))
    return world, plan(folder)


@pytest.mark.usefixtures("calm")
def test_killed_before_or_after_any_effect_and_continued_it_ends_the_same_way(tmp_path: Path) -> None:
    world, story = whole_story(tmp_path)
    expected = start(world, story)
    effects = world.effects
    assert effects > 100
    for when in ("kill_before", "kill_after"):
        for n in range(effects):
            world, story = whole_story(tmp_path)
            with pytest.raises(Killed):
                start(world, story, **{when: n})
            record = start(world, story, kept(world))
            assert record.model_dump() == expected.model_dump(), (when, n)
            assert [job.body["name"] for job in world.jobs] == [each.job_name for each in expected.attempts], (when, n)
            assert len(world.deployments) == 1, (when, n)


def test_killed_again_and_again_it_ends_the_same_way(tmp_path: Path) -> None:
    for every in (30, 45, 60):
        world, story = whole_story(tmp_path)
        expected = start(world, story)
        world, story = whole_story(tmp_path)
        kills = 0
        while (record := kept(world)) is None or not record.is_final:
            try:
                start(world, story, record, kill_after=every + kills % 7)
            except Killed:
                kills += 1
            assert kills < 500
        assert kills >= 4
        assert record.model_dump() == expected.model_dump()
        assert (len(world.jobs), len(world.deployments)) == (3, 1)


def test_every_answer_may_be_lost(tmp_path: Path) -> None:
    for pattern in (r"POST .*/jobs$", "create_model_version"):
        for how in ("lost", "500"):
            world, story = whole_story(tmp_path)
            world.faults = [Fault(pattern, how, times=99)]
            record = start(world, story)
            assert record.phase == "done"
            assert (len(world.jobs), len(world.deployments)) == (3, 1), (pattern, how)


def test_any_call_may_fail_for_a_while(tmp_path: Path) -> None:
    world, story = whole_story(tmp_path)
    start(world, story)
    kinds = {re.sub(r"\b[pjmd]\d+\b", "*", call).split("checkpoint-")[0] for call in world.calls}
    assert len(kinds) > 12
    for kind in sorted(kinds):
        for error in (away(), broken()):
            world, story = whole_story(tmp_path)
            world.faults = [Fault(re.escape(kind).replace(r"\*", r"\w+"), error, times=2)]
            assert start(world, story).phase == "done", kind
            assert (len(world.jobs), len(world.deployments)) == (3, 1), kind


def test_two_processes_with_one_record_end_with_one_job_and_one_deployment(tmp_path: Path) -> None:
    """A zombie and its retry, in lockstep, each from the same record."""
    world, story = whole_story(tmp_path)
    record = new_record(story, KEY)
    flows = [run(story, record), run(story, record)]
    values: list[Any] = [None, None]
    ends: list[Any] = [None, None]
    while None in ends:
        for n, flow in enumerate(flows):
            if ends[n] is None:
                try:
                    values[n] = world._carry_out(flow.send(values[n]))
                except StopIteration as end:
                    ends[n] = end.value
    assert [end.phase for end in ends] == ["done", "done"]
    assert [each.job_id for each in ends[0].attempts] == [each.job_id for each in ends[1].attempts]
    completed = [job for job in world.jobs if world.status_of(job).endswith("COMPLETED")]
    assert len(completed) == 1
    assert len(world.live_deployments()) == 1


def test_a_job_that_was_stopped_as_a_twin_is_left_for_the_older_one(world: World, tmp_path: Path) -> None:
    story = plan(tmp_path)
    record = world.run(step(world.run(step(new_record(story, KEY), story)), story))
    older = world.add_job("p1", {"name": record.attempt.job_name}, completes(10))
    older.created -= 100
    world.jobs[0].stopped = world.time
    assert start(world, story, record).attempt.job_id == older.id


# ---------------------------------------------------------------- budgets


def ends_with(world: World, story: RunPlan) -> str:
    with pytest.raises(RunFailed) as caught:
        start(world, story)
    record = kept(world)
    assert record
    assert record.phase == "failed"
    with pytest.raises(RunFailed, match=re.escape(caught.value.message)):
        start(world, story, record)
    return caught.value.message


def test_failures_and_preemptions_have_budgets_of_their_own(world: World, tmp_path: Path) -> None:
    world.script = attempts(
        breaks("PREEMPTED", 10), breaks("FAILED", 20), breaks("PREEMPTED"), breaks("FAILED", 30), completes(40)
    )
    record = start(world, plan(tmp_path, max_failures=2, max_preemptions=2))
    assert (record.phase, record.failures, record.preemptions) == ("done", 2, 2)


def test_the_budget_for_failures_ends_the_run(world: World, tmp_path: Path) -> None:
    world.script = attempts(breaks("FAILED", 10, message="exit code 1"), breaks("FAILED", 20, message="exit code 1"))
    message = ends_with(world, plan(tmp_path, max_failures=1))
    assert message == f"Run {KEY} of project 'digits' failed: attempt 2 failed, and max_failures is 1: exit code 1"
    assert len(world.jobs) == 2


def test_the_budget_for_preemptions_ends_the_run(world: World, tmp_path: Path) -> None:
    world.script = attempts(breaks("PREEMPTED"))
    assert "attempt 4 was preempted, and max_preemptions is 3" in ends_with(world, plan(tmp_path, max_preemptions=3))


@pytest.mark.parametrize("saved", [(), (10,)])
def test_failing_twice_at_the_same_place_ends_the_run_early(
    world: World, tmp_path: Path, saved: tuple[int, ...]
) -> None:
    world.script = attempts(
        breaks("FAILED", *saved, message="CUDA out of memory"), breaks("PREEMPTED"), breaks("FAILED")
    )
    message = ends_with(world, plan(tmp_path, max_failures=9))
    where = "without a checkpoint after checkpoint-10" if saved else "without any checkpoint"
    assert f"attempts 1 and 3 failed at the same place, {where}" in message
    assert len(world.jobs) == 3


def test_failing_at_the_same_place_is_noticed_across_many_preemptions(world: World, tmp_path: Path) -> None:
    lost = [breaks("PREEMPTED", message="the node was preempted " * 20)] * 25
    world.script = attempts(breaks("FAILED", 10), *lost, breaks("FAILED"))
    message = ends_with(world, plan(tmp_path, max_failures=9, max_preemptions=99))
    assert "attempts 1 and 27 failed at the same place" in message


def test_failing_again_after_a_newer_checkpoint_goes_on(world: World, tmp_path: Path) -> None:
    world.script = attempts(breaks("FAILED", 10), breaks("FAILED", 20), completes(30))
    assert start(world, plan(tmp_path)).phase == "done"


def test_what_a_person_stopped_is_not_started_again(world: World, tmp_path: Path) -> None:
    world.script = attempts(breaks("STOPPED", 10))
    assert "was stopped" in ends_with(world, plan(tmp_path))
    assert len(world.jobs) == 1


@pytest.mark.parametrize(("created", "stays"), [(-1.0, "j2"), (1.0, "j1")])
def test_a_twin_that_comes_late_is_noticed_within_a_minute_and_the_older_one_stays(
    world: World, tmp_path: Path, created: float, stays: str
) -> None:
    """Its create was on its way when the process that had sent it died, and ours looked before it was carried out."""
    script = JobScript(
        [(0, "PENDING"), (2, "RUNNING"), (200, "COMPLETED")], checkpoints=[hf_checkpoint(10, 9, HISTORY)]
    )

    def arrive(event: Any) -> None:
        if isinstance(event, JobStatusChanged) and event.status.endswith("RUNNING") and len(world.jobs) == 1:
            twin = world.add_job("p1", world.jobs[0].body, script)
            twin.created = world.jobs[0].created + created

    world.script, world.listener = attempts(script), arrive
    record = start(world, plan(tmp_path))
    assert (record.phase, record.attempt.job_id) == ("done", stays)
    (stopped,) = (job for job in world.jobs if job.stopped)
    assert stopped.id != stays
    assert stopped.stopped is not None
    assert stopped.stopped - stopped.created < 70


@pytest.mark.parametrize("serves_after", [200, 20])
@pytest.mark.parametrize(("created", "stays"), [(-1.0, "d2"), (1.0, "d1")])
def test_a_twin_of_a_deployment_that_comes_late_is_deactivated_and_the_older_one_serves(
    world: World, tmp_path: Path, created: float, stays: str, serves_after: float
) -> None:
    """When the deployment is a minute old, or when it serves before that."""

    def arrive(event: Any) -> None:
        if isinstance(event, DeploymentStatusChanged) and len(world.deployments) == 1:
            twin = world.add_deployment(world.deployments[0].request)
            twin.created = world.deployments[0].created + created

    world.deployment_script = lambda: DeploymentScript([(0, "BUILDING"), (serves_after, "ACTIVE")])
    world.script, world.listener = attempts(completes(10)), arrive
    record = start(world, plan(tmp_path))
    assert record.deployment
    assert (record.phase, record.deployment.deployment_id) == ("done", stays)
    assert [each.id for each in world.live_deployments()] == [stays]
    (said,) = (event for event in world.heard(Notice) if "was deactivated" in event.text)
    assert stays in said.text


@pytest.mark.parametrize("differs", ["checkpoint", "labels", "time"])
def test_a_deployment_that_is_no_twin_is_left_alone(world: World, tmp_path: Path, differs: str) -> None:
    def arrive(event: Any) -> None:
        if isinstance(event, DeploymentStatusChanged) and len(world.deployments) == 1:
            asked = json.loads(json.dumps(world.deployments[0].request))
            if differs == "checkpoint":
                source = asked["weights_sources"][0]["b10_training_checkpoint_weights_source"]["checkpoint"]
                source["checkpoint_name"] = "checkpoint-20"
            if differs == "labels":
                variable = {"name": LABELS, "value": '{"of": "another"}'}
                asked["inference_stack"]["environment_variables"].append(variable)
            other = world.add_deployment(asked)
            other.created = world.deployments[0].created - (100 if differs == "time" else 1)

    world.script, world.listener = attempts(completes(10)), arrive
    assert start(world, plan(tmp_path)).phase == "done"
    assert len(world.live_deployments()) == 2


def test_a_deployment_that_was_deactivated_as_a_twin_is_left_for_the_older_one(world: World, tmp_path: Path) -> None:
    def arrive(event: Any) -> None:
        if isinstance(event, DeploymentStatusChanged) and len(world.deployments) == 1:
            older = world.add_deployment(world.deployments[0].request)
            older.created = world.deployments[0].created - 1
            world.deployments[0].deactivated = True

    world.script, world.listener = attempts(completes(10)), arrive
    record = start(world, plan(tmp_path))
    assert record.deployment
    assert (record.phase, record.deployment.deployment_id) == ("done", "d2")


def test_a_deleted_job_ends_the_run(world: World, tmp_path: Path) -> None:
    def delete(event: Any) -> None:
        if isinstance(event, CheckpointSeen):
            world.jobs[0].deleted = True

    world.script, world.listener = attempts(completes(10)), delete
    assert "was deleted" in ends_with(world, plan(tmp_path))


@pytest.mark.parametrize(
    ("status", "message", "cause"),
    [
        ("FAILED", "exit code 1", "failed"),
        ("DEPLOY_FAILED", "image not found", "failed"),
        ("EXPIRED", None, "failed"),
        ("PREEMPTED", None, "preempted"),
        ("FAILED", "The node was preempted", "preempted"),
        ("FAILED", "Spot instance reclaimed", "preempted"),
        ("CANCELLED", None, "stopped"),
        ("STOPPED", None, "stopped"),
    ],
)
def test_why_a_job_ended_is_told_by_its_status_and_message(
    world: World, tmp_path: Path, status: str, message: str | None, cause: str
) -> None:
    world.script = attempts(breaks(status, message=message))
    story = plan(tmp_path)
    record = new_record(story, KEY)
    for _ in range(3):
        record = world.run(step(record, story))
    assert record.attempt.cause == cause


# ---------------------------------------------------------------- trouble after the training


def test_a_metric_that_was_never_measured_costs_no_training(world: World, tmp_path: Path) -> None:
    world.script = attempts(completes(10, 20))
    with pytest.raises(NoUsableCheckpoint, match=r"no accuracy \(it has eval_loss\)"):
        start(world, plan(tmp_path, best=Best(metric="accuracy", mode="max")))
    assert start(world, plan(tmp_path), kept(world)).phase == "done"
    assert len(world.jobs) == 1


def test_a_deployment_that_died_is_made_anew_when_the_run_is_continued(world: World, tmp_path: Path) -> None:
    world.script = attempts(completes(10))
    world.deployment_script = lambda: DeploymentScript([(0, "BUILDING"), (20, "DEPLOY_FAILED")])
    with pytest.raises(DeploymentFailed, match="CUDA out of memory"):
        start(world, plan(tmp_path))
    record = kept(world)
    assert record
    assert (record.phase, record.deployment) == ("deploying", None)
    world.deployment_script = DeploymentScript
    assert start(world, plan(tmp_path), record).phase == "done"
    assert (len(world.jobs), len(world.deployments)) == (1, 2)


def test_a_limit_of_the_plan_leaves_the_job_running_and_the_run_resumable(world: World, tmp_path: Path) -> None:
    world.script = attempts(completes(10))
    with pytest.raises(WaitTimeout):
        start(world, plan(tmp_path, training=Limits(timeout=10)))
    assert not world.is_over(world.jobs[0])
    assert start(world, plan(tmp_path), kept(world)).phase == "done"
    assert len(world.jobs) == 1


def test_an_outage_of_the_api_is_waited_through_at_every_step(world: World, tmp_path: Path) -> None:
    world.script = attempts(completes(10))
    world.faults = [Fault("", away(), times=40)]
    assert start(world, plan(tmp_path)).phase == "done"
    assert len(world.heard(ApiOutage)) == 40
    assert len(world.heard(AttemptStarted)) == 1


def test_a_failed_upload_is_an_error_and_the_run_resumable(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise UploadError("no space")

    world.script = attempts(completes(10))
    with monkeypatch.context() as patch:
        patch.setattr(package, "upload", refuse)
        with pytest.raises(UploadError):
            start(world, plan(tmp_path))
    assert start(world, plan(tmp_path), kept(world)).phase == "done"


def test_a_failed_run_that_is_reopened_goes_on_from_its_newest_checkpoint(world: World, tmp_path: Path) -> None:
    world.script = attempts(breaks("FAILED", 10), completes(20))
    with pytest.raises(RunFailed):
        start(world, plan(tmp_path, max_failures=0))
    again = reopened(plan(tmp_path, max_failures=0), kept(world))
    assert (again.phase, again.failures, again.attempt.number) == ("submitting", 0, 2)
    assert again.attempt.started_from
    assert again.attempt.started_from.name == "checkpoint-10"
    done = start(world, plan(tmp_path, max_failures=0), again)
    assert done.phase == "done"
    assert [job.name for job in world.run(jobs_of(done))] == [attempt.job_name for attempt in done.attempts]


# ---------------------------------------------------------------- plans and records


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deploy": DeployCheckpointsConfig(compute=Compute())}, "no model_name"),
        ({"deploy": DeployCheckpointsConfig(model_name="digits")}, "no compute"),
        ({"deploy": None}, "no deployment to ask"),
        (
            {"project": TrainingProject(name="p", job=TrainingJob(image=Image(base_image="x")))},
            "checkpointing_config|enabled=True",
        ),
        ({"max_failures": -1}, "greater than or equal to 0"),
        ({"retries": 3}, "Extra inputs"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(tmp_path, **changes)


def test_a_plan_that_is_refused_quotes_nothing_of_what_its_project_was_given() -> None:
    runtime = Runtime(start_commands=["true"], environment_variables={"TOKEN": "s3cret"})
    project = TrainingProject(name="p", job=TrainingJob(image=Image(base_image="x"), runtime=runtime))
    with pytest.raises(ValueError, match="no deployment to ask") as caught:
        RunPlan(project=project, source_dir=Path(), question={"token": "s3cret"})
    assert "input_value" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_pattern_that_cannot_find_a_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a group named step"):
        Best(metric="eval_loss", mode="min", log_pattern="loss")


def test_a_record_of_many_attempts_stays_small_and_forgets_no_job(world: World, tmp_path: Path) -> None:
    long = "the node was preempted " + "ünïcode " * 100
    scripts = [breaks("PREEMPTED", message=long)] * 30
    scripts[3] = breaks("FAILED", 20, message="boom")
    scripts[25] = breaks("FAILED", 30, message="boom " * 200)
    world.script = attempts(*scripts, completes(40))
    record = start(world, plan(tmp_path, max_preemptions=99))
    sizes = [len(event.record.model_dump_json().encode()) for event in world.heard(RecordChanged)]
    assert max(sizes) <= 4000
    assert (record.preemptions, record.failures, record.attempt.number) == (28, 2, 31)
    assert len(record.attempts) < 15
    assert record.choice
    assert record.choice.checkpoint.name == "checkpoint-20"  # of an attempt that the record left out
    assert all(each.number != 4 for each in record.attempts)


def test_a_record_holds_no_secret(world: World, tmp_path: Path) -> None:
    secret = project()
    secret.job.runtime.environment_variables = {"TOKEN": "hush"}
    world.script = attempts(completes(10))
    start(world, plan(tmp_path, project=secret))
    assert all("hush" not in event.model_dump_json() for event in world.events)


def test_the_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    fields = {**new_record(plan(tmp_path), KEY).model_dump(), "version": 2}
    with pytest.raises(ValueError, match="version"):
        RunRecord.model_validate(fields)
