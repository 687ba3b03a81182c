"""Waiting: one question for all, outages survived, nothing ended by a timeout."""

from __future__ import annotations

import pytest
from world import START, Fault, Job, JobScript, World, away, broken, garbled, throttled

from truss_train_core import jobs
from truss_train_core.api.flows import Event
from truss_train_core.api.models import TrainingJob
from truss_train_core.errors import JobFailed, JobNotFound, ServerError, Unauthorized, WaitTimeout
from truss_train_core.events import ApiOutage, JobStatusChanged, Notice
from truss_train_core.waiting import Limits

LONG = JobScript([(0, "PENDING"), (30, "CREATED"), (60, "RUNNING"), (4 * 3600, "COMPLETED")])


@pytest.fixture
def world() -> World:
    return World()


def as_model(world: World, job: Job) -> TrainingJob:
    return TrainingJob.model_validate(world._job(job))


def add(world: World, script: JobScript | None = None, project: str = "p1") -> TrainingJob:
    return as_model(world, world.add_job(project, script=script))


def test_a_job_is_waited_for_and_every_status_told_once(world: World) -> None:
    ended = world.run(jobs.wait(add(world, LONG)))
    assert ended.succeeded
    told = [event.status.removeprefix("TRAINING_JOB_") for event in world.heard(JobStatusChanged)]
    assert told == ["PENDING", "CREATED", "RUNNING", "COMPLETED"]


def test_a_failed_job_is_returned_with_its_cause(world: World) -> None:
    job = world.run(jobs.wait(add(world, JobScript([(0, "RUNNING"), (9, "FAILED")], message="exit code 137"))))
    assert world.heard(JobStatusChanged)[-1].message == "exit code 137"
    with pytest.raises(JobFailed, match=r"job by-hand \(j1\).*TRAINING_JOB_FAILED: exit code 137") as caught:
        jobs.expect_completed(job)
    assert (caught.value.job_id, caught.value.status) == ("j1", "TRAINING_JOB_FAILED")


def test_looks_are_close_at_first_and_far_apart_after_hours(world: World) -> None:
    world.run(jobs.wait(add(world, LONG)))
    assert max(world.pauses[:5]) < 2.5
    assert all(25 < pause < 35 for pause in world.pauses[-20:])
    assert len(set(world.pauses)) > len(world.pauses) / 2  # jitter


def test_a_wait_that_begins_late_does_not_begin_with_close_looks(world: World) -> None:
    job = add(world, JobScript([(0, "RUNNING"), (5 * 3600, "COMPLETED")]))
    world.time += 4 * 3600
    world.run(jobs.wait(job))
    assert min(world.pauses) > 25


def test_the_interval_grows_with_the_time_in_a_status(world: World) -> None:
    pace, job = jobs.Pace(), add(world, JobScript([(0, "RUNNING")]))
    intervals = [pace.interval(job, age) for age in (0, 60, 600, 3600, 7200, 9e9)]
    assert intervals == [2.0, 2.0, 2.5, 15.0, 30.0, 30.0]
    live = [jobs.LIVE.interval(job, age) for age in (0, 2, 8, 60, 600, 9e9)]
    assert live == [0.25, 0.5, 2.0, 2.0, 2.5, 10.0]


def test_many_jobs_of_a_project_take_one_call_per_look_and_one_for_each_that_ended(world: World) -> None:
    many = [add(world, JobScript([(0, "RUNNING"), (60 + n, "COMPLETED")])) for n in range(20)]
    ended = world.run(jobs.wait_all(many))
    assert len(ended) == 20
    assert all(job.succeeded for job in ended.values())
    assert world.called(r"GET .*/jobs/j\d+$") <= 20 + 5  # the last one alone is asked for by itself
    assert world.called("search") == len(world.calls) - world.called(r"GET .*/jobs/j\d+$")
    assert all(body["project_id"] == "p1" for body in world.bodies if body)


def test_jobs_of_several_projects_take_one_call_too(world: World) -> None:
    many = [add(world, LONG, "p1"), add(world, LONG, "p2"), add(world, LONG, "p3")]
    assert set(world.run(jobs.poll(many))) == {"j1", "j2", "j3"}
    assert world.calls == ["POST /v1/training_jobs/search"]
    assert world.bodies[0]["project_id"] is None


def test_an_unknown_status_is_waited_through(world: World) -> None:
    odd = JobScript([(0, "PENDING"), (10, "REBALANCING"), (100, "RUNNING"), (200, "COMPLETED")])
    ended = world.run(jobs.wait_all([add(world, odd), add(world, odd)]))
    assert [job.succeeded for job in ended.values()] == [True, True]


@pytest.mark.parametrize("error", [away(), broken(), garbled(), throttled(3)])
def test_an_outage_does_not_fail_a_wait(world: World, error: Exception) -> None:
    job = add(world, LONG)
    world.faults = [Fault("/training_jobs/search", error, times=30)]
    assert world.run(jobs.wait(job)).succeeded
    outages = world.heard(ApiOutage)
    assert len(outages) == 30
    assert outages[0].seconds == 0
    assert outages[-1].seconds > 300


def test_an_outage_beyond_the_limit_is_an_error_and_stops_no_job(world: World) -> None:
    job = add(world, LONG)
    world.faults = [Fault("/training_jobs/search", broken(), times=9999)]
    with pytest.raises(ServerError):
        world.run(jobs.wait(job))
    assert 1800 <= world.time - START < 1900
    assert world.called("stop") == 0


def test_two_outages_are_counted_apart(world: World) -> None:
    job = add(world, LONG)
    fault = Fault("/training_jobs/search", broken(), times=60)
    world.faults = [fault]

    def again_when_running(event: Event) -> None:
        if isinstance(event, JobStatusChanged) and event.status == "TRAINING_JOB_RUNNING":
            fault.times = 60

    world.listener = again_when_running
    assert world.run(jobs.wait(job, limits=Limits(outage=20 * 60))).succeeded
    assert len(world.heard(ApiOutage)) == 120


def test_an_outage_obeys_what_a_429_asks_for(world: World) -> None:
    job = add(world, LONG)
    world.faults = [Fault("/training_jobs/search", throttled(120))]
    world.run(jobs.wait(job))
    assert max(world.pauses) > 100


def test_a_wrong_key_fails_a_wait_at_once(world: World) -> None:
    job = add(world, LONG)
    world.faults = [Fault("/training_jobs/search", Unauthorized("no", status=401))]
    with pytest.raises(PermissionError):
        world.run(jobs.wait(job))
    assert len(world.calls) == 1


def test_a_timeout_says_that_the_job_goes_on_and_how_to_end_it(world: World) -> None:
    job = add(world, LONG)
    with pytest.raises(WaitTimeout, match=r"job by-hand \(j1\) is still TRAINING_JOB_RUNNING after 600 s") as caught:
        world.run(jobs.wait(job, limits=Limits(timeout=600)))
    assert "may cost money" in str(caught.value)
    assert "truss-train stop --job-id j1" in str(caught.value)
    assert world.time - START == pytest.approx(600, abs=5)
    assert world.called("stop") == 0


def test_a_timeout_holds_during_an_outage(world: World) -> None:
    job = add(world, LONG)
    world.faults = [Fault("search", away(), times=9999)]
    with pytest.raises(WaitTimeout):
        world.run(jobs.wait(job, limits=Limits(timeout=300)))
    assert 300 <= world.time - START < 360
    assert len(world.heard(ApiOutage)) > 10


def test_a_job_that_ends_at_the_deadline_is_seen(world: World) -> None:
    job = add(world, JobScript([(0, "RUNNING"), (599, "COMPLETED")]))
    assert world.run(jobs.wait(job, limits=Limits(timeout=600))).succeeded


def test_a_deleted_job_is_not_waited_for_any_longer(world: World) -> None:
    job = add(world, LONG)
    world.listener = lambda event: setattr(world.jobs[0], "deleted", True)
    with pytest.raises(JobNotFound, match="deleted"):
        world.run(jobs.wait(job))


def test_a_deleted_job_does_not_end_the_wait_for_others(world: World) -> None:
    first, second = add(world, LONG), add(world, LONG)
    world.listener = lambda event: setattr(world.jobs[0], "deleted", True)
    assert set(world.run(jobs.wait_all([first, second]))) == {"j2"}


def test_a_completed_job_is_waited_for_until_its_checkpoints_are_copied(world: World) -> None:
    job = add(world, JobScript([(0, "RUNNING"), (60, "COMPLETED")], synced=300))
    assert not world.run(jobs.wait(job)).is_syncing
    assert 300 < world.time - START < 340


def test_copying_that_never_ends_is_said_and_waited_for_no_longer(world: World) -> None:
    job = add(world, JobScript([(0, "RUNNING"), (60, "COMPLETED")], synced=1e9))
    assert world.run(jobs.wait(job)).is_syncing
    assert world.time - START < 60 + 31 * 60
    assert "still being copied" in world.heard(Notice)[0].text


def test_companions_are_called_at_every_look_and_decide_nothing(world: World) -> None:
    seen: list[str] = []

    def companion(job: TrainingJob) -> jobs.Companion:
        seen.append(job.current_status)
        raise ServerError("the companion's trouble")
        yield

    ended = world.run(jobs.wait(add(world), companions=[companion]))
    assert ended.succeeded
    assert seen[-1] == ended.current_status
    assert len(seen) == world.called("/training_jobs/search")


def test_nothing_to_wait_for_takes_no_call(world: World) -> None:
    assert world.run(jobs.wait_all([])) == {}
    assert not world.calls


# ---------------------------------------------------------------- finding and stopping


def test_a_job_is_found_by_id_by_name_and_as_the_newest(world: World) -> None:
    for name in ("sweep", "digits", "sweep"):
        world.add_job(body={"name": name})
        world.time += 10
    world.add_job("p2", {"name": "other"})
    assert world.run(jobs.find("j2")).name == "digits"
    assert world.run(jobs.find("sweep")).id == "j3"
    assert world.run(jobs.find()).id == "j4"
    world.projects["p1"] = "first"
    assert world.run(jobs.find(project="first")).id == "j3"
    assert world.run(jobs.find("digits", project="p1")).id == "j2"
    with pytest.raises(JobNotFound, match=r"no job 'digit' in this account. There is digits"):
        world.run(jobs.find("digit"))
    with pytest.raises(JobNotFound, match=r"no project 'frist'. There is first"):
        world.run(jobs.find(project="frist"))


def test_the_active_jobs_of_a_run_are_found_by_the_beginning_of_its_key(world: World) -> None:
    for key in ("0123456789", "0123456789abcdef", "abcdef0123456789"):
        world.add_job(body={"name": jobs.job_name("digits", key, 1)}, script=LONG)
    world.add_job("p2", {"name": jobs.job_name("digits", "0123456789", 2)}, script=JobScript([(0, "COMPLETED")]))
    assert [job.id for job in world.run(jobs.find_active("0123456789"))] == ["j1", "j2"]


def test_projects_of_one_name_are_told_apart_by_id(world: World) -> None:
    world.projects = {"p1": "digits", "p2": "digits"}
    with pytest.raises(JobNotFound, match=r"2 projects.*Use the id"):
        world.run(jobs.find_project("digits"))
    assert world.run(jobs.find_project("p2")).id == "p2"


def test_an_account_without_jobs_says_so(world: World) -> None:
    with pytest.raises(JobNotFound, match="There is no job in this account"):
        world.run(jobs.find())


def test_stopping_twice_does_no_more_than_once_and_says_so(world: World) -> None:
    job = add(world, LONG)
    assert world.run(jobs.stop(job)).current_status == "TRAINING_JOB_STOPPED"
    assert world.run(jobs.stop(job)).current_status == "TRAINING_JOB_STOPPED"
    assert world.called("/stop") == 1
    assert [event.text for event in world.heard(Notice)] == ["has ended already: TRAINING_JOB_STOPPED"]


def test_a_deleted_job_cannot_be_stopped(world: World) -> None:
    job = add(world, LONG)
    world.jobs[0].deleted = True
    with pytest.raises(JobNotFound):
        world.run(jobs.stop(job))


def test_a_job_is_fetched_by_its_ids_through_an_outage(world: World) -> None:
    job = add(world, LONG)
    world.faults = [Fault("/jobs/", away(), times=3)]
    assert world.run(jobs.fetch(job.training_project_id, job.id, outage=600)).id == job.id


def test_fetching_a_job_that_is_not_there_says_so(world: World) -> None:
    job = add(world, LONG)
    with pytest.raises(JobNotFound, match="nope"):
        world.run(jobs.fetch(job.training_project_id, "nope"))
