"""Submitting: exactly one job for a key, whatever happens to the calls; a single create without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from world import Fault, Killed, World, away, broken, garbled

from truss_train_core import jobs
from truss_train_core.api.flows import Flow, work
from truss_train_core.api.models import UploadCredentials
from truss_train_core.definitions import Image, TrainingJob, TrainingProject
from truss_train_core.errors import AnswerLost, Rejected, ServerError, Unreachable
from truss_train_core.events import JobAdopted, JobSubmitted, TwinStopped

NAME = jobs.job_name("digits", jobs.run_key("run", "task"), 1)
CREATE = r"POST .*/jobs$"
LIST = r"GET .*/jobs$"


def project(name: str | None = NAME) -> TrainingProject:
    return TrainingProject(name="digits", job=TrainingJob(name=name, image=Image(base_image="python:3.12")))


def storing(store: Callable[[UploadCredentials], object] = lambda credentials: None) -> jobs.Upload:
    def upload(credentials: UploadCredentials) -> Flow[None]:
        yield from work(lambda: store(credentials))

    return upload


def submit_once(world: World, **kills: int) -> jobs.Submitted:
    return world.run(jobs.submit_once(project(), storing()), **kills)


def running(world: World) -> list[str]:
    return [job.id for job in world.jobs if not world.is_over(job)]


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_is_created_with_the_archive_that_was_uploaded(world: World) -> None:
    stored: list[Any] = []
    done = world.run(jobs.submit_once(project(), storing(stored.append), user_env={"python_version": "3.11.0"}))
    assert done.created
    assert done.project.name == "digits"
    body = world.jobs[0].body
    assert body["runtime"]["artifacts"] == [{"s3_bucket": "bucket", "s3_key": "key-1.tgz"}]
    assert body["truss_user_env"] == {"python_version": "3.11.0"}
    assert [credentials.s3_key for credentials in stored] == ["key-1.tgz"]
    assert [event.job_id for event in world.heard(JobSubmitted)] == ["j1"]


def test_a_job_that_exists_is_adopted_without_an_upload(world: World) -> None:
    first = submit_once(world)
    second = submit_once(world)
    assert second.job.id == first.job.id
    assert not second.created
    assert world.uploads == 1
    assert [event.job_id for event in world.heard(JobAdopted)] == ["j1"]


def test_a_job_that_has_ended_is_adopted_too(world: World) -> None:
    submit_once(world)
    world.time += 1000
    assert submit_once(world).job.succeeded


@pytest.mark.parametrize("answer", ["lost", "500"])
@pytest.mark.parametrize("late", [0.0, 5.0, 15.0])
def test_a_create_whose_answer_was_lost_is_found_again(world: World, answer: str, late: float) -> None:
    world.faults, world.late = [Fault(CREATE, answer)], late
    assert submit_once(world).job.id == "j1"
    assert len(world.jobs) == 1
    assert [event.job_id for event in world.heard(JobSubmitted)] == ["j1"]


@pytest.mark.parametrize("error", [broken(), AnswerLost("gone"), garbled()])
def test_a_create_that_was_never_carried_out_is_made_again_with_the_same_archive(
    world: World, error: Exception
) -> None:
    world.faults = [Fault(CREATE, error, times=2)]
    assert submit_once(world).job.id == "j1"
    assert len(world.jobs) == 1
    assert world.uploads == 1


def test_creating_ends_when_no_create_ever_leaves_a_trace(world: World) -> None:
    world.faults = [Fault(CREATE, broken(), times=99)]
    with pytest.raises(ServerError):
        submit_once(world)
    assert world.called(CREATE) == 3


def test_a_lookup_that_fails_is_not_an_empty_answer(world: World) -> None:
    submit_once(world)
    world.faults = [Fault(LIST, away())]
    with pytest.raises(Unreachable):
        submit_once(world)
    assert len(world.jobs) == 1


def test_a_lookup_that_fails_after_a_lost_answer_creates_nothing_more(world: World) -> None:
    world.faults = [Fault(CREATE, "lost"), Fault(LIST, away(), times=0)]

    def fail_next_list(credentials: Any) -> None:
        world.faults[1].times = 1

    with pytest.raises(Unreachable):
        world.run(jobs.submit_once(project(), storing(fail_next_list)))
    assert submit_once(world).job.id == "j1"
    assert len(world.jobs) == 1


def test_a_request_that_is_wrong_is_not_repeated(world: World) -> None:
    world.faults = [Fault(CREATE, Rejected("no such accelerator", status=400), times=9)]
    with pytest.raises(Rejected):
        submit_once(world)
    assert world.called(CREATE) == 1


def test_of_two_holders_of_a_key_the_older_job_stays_and_ours_is_stopped(world: World) -> None:
    """Another process creates the job while we upload."""
    done = world.run(jobs.submit_once(project(), storing(lambda credentials: world.add_job("p1", {"name": NAME}))))
    assert done.job.id == "j1"
    assert not done.created
    assert running(world) == ["j1"]
    assert [(event.job_id, event.stays) for event in world.heard(TwinStopped)] == [("j2", "j1")]


def test_ours_stays_where_it_is_the_older_one_and_the_newer_twin_is_stopped(world: World) -> None:
    """Another process creates the job right after us, before we have looked again."""

    def create_a_twin() -> None:
        world.after_create = lambda: None
        world.time += 1
        world.add_job("p1", {"name": NAME})

    world.after_create = create_a_twin
    done = submit_once(world)
    assert done.job.id == "j1"
    assert done.created
    assert running(world) == ["j1"]
    assert [(event.job_id, event.stays) for event in world.heard(TwinStopped)] == [("j2", "j1")]


def test_an_orphaned_twin_of_a_dead_process_is_stopped_by_whoever_looks_next(world: World) -> None:
    world.add_job("p1", {"name": NAME})
    world.time += 1
    world.add_job("p1", {"name": NAME})
    assert submit_once(world).job.id == "j1"
    assert running(world) == ["j1"]


def test_jobs_of_other_names_are_left_alone(world: World) -> None:
    world.add_job("p1", {"name": "digits"})
    world.add_job("p1", {"name": None})
    assert submit_once(world).job.id == "j3"
    assert running(world) == ["j1", "j2", "j3"]


def test_killed_before_or_after_any_effect_and_called_again_there_is_one_job() -> None:
    whole = World()
    submit_once(whole)
    for when in ("kill_before", "kill_after"):
        for n in range(whole.effects):
            world = World()
            with pytest.raises(Killed):
                submit_once(world, **{when: n})
            assert submit_once(world).job.id == "j1", (when, n)
            assert len(world.jobs) == 1, (when, n)


def test_a_killed_submit_whose_job_becomes_visible_late_leaves_one_job_running() -> None:
    """The next process looks before the job can be seen, and creates a twin; the older one stays."""
    world = World()
    world.late = 1.0
    with pytest.raises(Killed):
        submit_once(world, kill_after=_create_index())
    world.late = 0.0
    submit_once(world)
    world.time += 2
    assert submit_once(world).job.id == "j1"
    assert running(world) == ["j1"]


def _create_index() -> int:
    world = World()
    for n in range(99):
        try:
            submit_once(world, kill_after=n)
        except Killed:
            if world.jobs:
                return n
            world = World()
    raise AssertionError


def test_without_a_key_a_create_is_made_once_and_a_lost_answer_says_where_to_look(world: World) -> None:
    world.faults = [Fault(CREATE, "lost")]
    with pytest.raises(AnswerLost, match=r"Project 'digits': job 'sweep'.*look at the project's newest job"):
        world.run(jobs.submit(project("sweep"), storing()))
    assert world.called(CREATE) == 1


def test_without_a_key_two_calls_make_two_jobs(world: World) -> None:
    for _ in range(2):
        world.run(jobs.submit(project("sweep"), storing()))
    assert len(world.jobs) == 2


def test_a_failed_upload_creates_no_job(world: World) -> None:
    def fail(credentials: Any) -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        world.run(jobs.submit_once(project(), storing(fail)))
    assert not world.jobs


def test_submit_once_without_a_name_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="name"):
        world.run(jobs.submit_once(project(None), storing()))
    assert not world.calls


def test_a_key_is_the_same_everywhere_and_tells_its_parts_apart() -> None:
    assert jobs.run_key("scheduled__2026", "train", -1) == jobs.run_key("scheduled__2026", "train", "-1")
    assert jobs.run_key("ab", "c") != jobs.run_key("a", "bc")
    assert jobs.run_key("a") == "0eb5b8d6f8"


@pytest.mark.parametrize("base", [None, "digits", "Llama 3.1 / LoRA!", "x" * 200, "---", "训练"])
@pytest.mark.parametrize("attempt", [1, 12])
def test_a_name_is_short_plain_and_ends_with_key_and_attempt(base: str | None, attempt: int) -> None:
    key = jobs.run_key("run")
    name = jobs.job_name(base, key, attempt)
    assert len(name) <= 63
    assert name.endswith(f"-{key}-{attempt}")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.startswith("-")
