"""On a real Airflow: what becomes of jobs when its processes are killed, and when people clear and mark tasks."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dag_runs import jobs_named, status_at_the_end
from postgres import metadata_database
from standalone import Run, Standalone, demo, eventually

from airflow_provider_truss_train.hooks import SHARED_SECONDS
from truss_train_core import Client, jobs
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.testing import Fault, FaultProxy, LocalPlatform

pytestmark = pytest.mark.slow
LONG = 60.0
ALL_JOBS = "POST /v1/training_jobs/search"
ONE_JOB = r"^GET /v1/training_projects/[^/]+/jobs/[^/]+$"


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """A platform of which every job waits in the queue, behind a proxy that knows the calls."""
    home = tmp_path_factory.mktemp("queue")
    with LocalPlatform.started(home, capacity={"CPU": 0}) as platform, FaultProxy.started(platform.remote) as proxy:
        yield proxy


class Interference:
    """What happens to the next call that fits, between Airflow and the platform: nothing, until a test says so.

    Calls are not only those of workers: the end of an earlier DAG run is followed by a look at its jobs.
    """

    def __init__(self) -> None:
        self.next: Fault | None = None
        self.when: Callable[[], bool] = lambda: True

    def __call__(self, number: int, method: str, path: str) -> Fault | None:
        fault = self.next
        if fault is None or not fault.fits(method, path) or not self.when():
            return None
        self.next = None
        return fault


@pytest.fixture(scope="module")
def interference() -> Interference:
    return Interference()


@pytest.fixture(scope="module")
def interfered(platform: LocalPlatform, interference: Interference) -> Iterator[FaultProxy]:
    with FaultProxy.started(platform.remote, interference) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, platform: LocalPlatform, queue: FaultProxy, interfered: FaultProxy
) -> Iterator[Standalone]:
    home = tmp_path_factory.mktemp("standalone")
    dags = Path(__file__).parent / "standalone_dags"
    settings = {
        "AIRFLOW_CONN_QUEUE": demo.connection(queue.remote),
        "AIRFLOW_CONN_INTERFERED": demo.connection(interfered.remote),
    }
    with (
        metadata_database() as database,
        Standalone.started(home, platform.remote, dags, **settings, **database) as running,
    ):
        yield running


def jobs_of(client: Client, run: Run, map_index: int = -1, *more: object) -> list[jobs.TrainingJob]:
    return jobs_named(client, jobs.run_key(run.dag_id, run.run_id, "train", map_index, *more))


def test_the_task_ends_without_a_worker_and_its_log_is_the_jobs(airflow: Standalone, client: Client) -> None:
    run = airflow.start("deferred", seconds=0.3)
    assert run.ends() == "success"
    (job,) = jobs_of(client, run)
    assert run.returned()["attempts"][0]["job_id"] == job.id
    log = run.log()
    assert sum(line.startswith("step 5/5") for line in log) == 1
    links = run.get("/taskInstances/train/links")["extra_links"]
    assert links["Training job"] == client.remote.job_page(job.training_project_id, job.id)


@pytest.mark.parametrize(("dag_id", "state"), [("deferred", "deferred"), ("undeferred", "running")])
@pytest.mark.parametrize("mark", ["failed", "success"])
def test_the_job_of_a_task_that_is_marked_is_stopped(
    airflow: Standalone, client: Client, dag_id: str, state: str, mark: str
) -> None:
    run = airflow.start(dag_id, seconds=LONG)
    run.waits(state)
    (job,) = jobs_of(client, run)
    run.mark(mark)
    assert status_at_the_end(client, job) == "STOPPED"
    assert run.ends() == mark
    assert len(jobs_of(client, run)) == 1


@pytest.mark.parametrize(("dag_id", "state"), [("deferred", "deferred"), ("undeferred", "running")])
def test_a_task_that_is_cleared_takes_up_its_job_again(
    airflow: Standalone, client: Client, dag_id: str, state: str
) -> None:
    run = airflow.start(dag_id, seconds=3.0)
    run.waits(state)
    (job,) = jobs_of(client, run)
    run.clear()
    assert run.ends() == "success"
    assert run.task()["try_number"] >= 2  # more, where a slow machine takes a live worker for dead
    assert [each.id for each in jobs_of(client, run)] == [job.id]


def test_a_task_that_is_cleared_can_stop_its_job_and_begin_anew(airflow: Standalone, client: Client) -> None:
    run = airflow.start("cancelling", seconds=4.0)
    run.waits("deferred")
    (job,) = jobs_of(client, run)
    run.clear()
    assert status_at_the_end(client, job) == "STOPPED"
    assert run.ends() == "success"
    # Its name tells after how many tries the task was cleared: a slow machine takes a live worker for dead.
    (anew,) = [each for tries in range(1, 5) for each in jobs_of(client, run, -1, tries)]
    assert anew.succeeded


def test_a_worker_that_is_killed_while_it_waits_is_followed_by_one_that_takes_up_the_job(
    airflow: Standalone, client: Client
) -> None:
    run = airflow.start("undeferred", seconds=5.0)
    run.waits("running")
    (job,) = jobs_of(client, run)
    run.kill_worker()
    assert run.ends() == "success"
    assert run.task()["try_number"] >= 2  # more, where a slow machine takes a live worker for dead
    assert [each.id for each in jobs_of(client, run)] == [job.id]


@pytest.mark.parametrize("death", [Run.kill_worker, Run.kill_process])
def test_the_job_of_a_last_try_that_is_killed_is_stopped_when_the_dag_run_ends(
    airflow: Standalone, client: Client, death: Callable[[Run], None]
) -> None:
    run = airflow.start("undeferred_once", seconds=LONG)
    run.waits("running")
    (job,) = jobs_of(client, run)
    death(run)
    assert status_at_the_end(client, job) == "STOPPED"
    assert run.ends() == "failed"


def test_the_job_of_a_task_that_is_marked_before_a_triggerer_took_it_up_is_stopped_when_the_dag_run_ends(
    airflow: Standalone, client: Client
) -> None:
    airflow.unpaused("deferred_once")
    with airflow.halted("triggerer"):
        run = airflow.start("deferred_once", seconds=LONG)
        eventually("deferral", lambda: run.task()["state"] == "deferred")
        (job,) = jobs_of(client, run)
        run.mark("success")
        assert status_at_the_end(client, job) == "STOPPED"
        assert run.ends() == "success"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        pytest.param("reset", r"/training_projects$", id="before the create"),
        pytest.param("reset", r"/jobs$", id="when it asks for the create"),
        pytest.param("lost", r"/jobs$", id="inside the create"),
        pytest.param("reset", r"/training_jobs/search$", id="after the create"),
    ],
)
def test_a_worker_that_is_killed_around_the_create_is_followed_by_one_that_creates_nothing_twice(
    airflow: Standalone, client: Client, interference: Interference, kind: Any, path: str
) -> None:
    airflow.unpaused("interfered")
    killed: list[str] = []

    def runs_now() -> bool:
        return any(run.task()["state"] == "running" for run in airflow.runs("interfered")[-1:])

    def kill() -> None:
        run = airflow.runs("interfered")[-1]
        run.kill_worker()
        killed.append(run.run_id)

    interference.next, interference.when = Fault(kind, "POST", path, then=kill), runs_now
    run = airflow.start("interfered")
    assert run.ends() == "success"
    assert killed == [run.run_id]
    assert run.task()["try_number"] >= 2  # more, where a slow machine takes a live worker for dead
    (job,) = jobs_of(client, run)
    assert job.succeeded
    assert run.returned()["attempts"][0]["job_id"] == job.id


def test_what_a_person_approves_is_promoted(airflow: Standalone, client: Client) -> None:
    run = airflow.start("approve", epochs=2, hidden=16, probe_seconds=0, accuracy=0.3)
    eventually("the question", lambda: run.task(task_id="approve")["state"] == "awaiting_input", 600)
    asked = run.get("/taskInstances/approve/-1/hitlDetails")
    assert "into production?" in asked["subject"]
    assert "held_out_accuracy" in asked["body"]
    assert run.task(task_id="promote")["state"] is None
    run.answer("approve", "Approve")
    assert run.ends(900) == "success"  # on a slow machine, a live worker may be taken for dead, and the task be retried
    promoted = run.get("/taskInstances/promote/xcomEntries/return_value")["value"]
    answering = client.send(endpoints.get_environment(promoted["model_id"], "production"))
    assert answering.current_deployment
    assert answering.current_deployment.id == promoted["deployment_id"]


def test_what_a_person_rejects_is_not_promoted(airflow: Standalone) -> None:
    run = airflow.start("approve", epochs=1, hidden=16)
    eventually("the question", lambda: run.task(task_id="approve")["state"] == "awaiting_input", 600)
    run.answer("approve", "Reject")
    assert run.ends(900) == "success"
    assert [run.task(task_id=each)["state"] for each in ("promote", "watch")] == ["skipped", "skipped"]


def test_missed_nights_are_one_run_and_a_run_beside_another_waits(airflow: Standalone) -> None:
    airflow.unpaused("retrain")  # whose first night was months ago
    night = eventually("the run of last night", lambda: airflow.runs("retrain"))[0]
    by_hand = airflow.start("retrain", epochs=1, hidden=16)
    eventually("a job", lambda: night.task()["state"] == "deferred", 600)
    assert by_hand.state == "queued"
    assert len(airflow.runs("retrain")) == 2
    night.mark_run("failed")
    assert by_hand.ends(600) == "success"
    assert len(airflow.runs("retrain")) == 2


def test_the_job_of_a_dag_run_that_times_out_is_stopped(airflow: Standalone, client: Client) -> None:
    run = airflow.start("limited", seconds=LONG)
    run.waits("deferred")
    (job,) = jobs_of(client, run)
    assert run.ends() == "failed"
    assert status_at_the_end(client, job) == "STOPPED"


def test_tasks_survive_the_death_of_the_scheduler(airflow: Standalone, client: Client) -> None:
    deferred, undeferred = airflow.start("deferred", seconds=4.0), airflow.start("undeferred", seconds=4.0)
    deferred.waits("deferred")
    undeferred.waits("running")
    airflow.restart("scheduler")
    for run in (deferred, undeferred):
        assert run.ends(600) == "success"
        (job,) = jobs_of(client, run)
        assert job.succeeded


def test_twenty_tasks_survive_the_death_of_their_triggerer(airflow: Standalone, client: Client) -> None:
    run = airflow.start("many", seconds=20.0)
    eventually("all deferred", lambda: [task["state"] for task in run.tasks()] == ["deferred"] * 20)
    noted = eventually("all noted", lambda: all(counts := [run.noted(index) for index in range(20)]) and counts)
    airflow.restart("triggerer")
    assert run.ends(600) == "success"
    for index in range(20):
        (job,) = jobs_of(client, run, index)
        assert job.succeeded
        lines = [line.message.rstrip() for line in client.run(jobs.fetch_log(job))]
        shown = run.log(1, index)
        assert set(lines) <= set(shown)
        # Showing a line and noting that are two acts: only what was shown but not noted may be shown again.
        assert [shown.count(line) for line in lines[: noted[index]]] == [1] * noted[index]


def test_tasks_that_wait_cost_one_call_per_interval_and_leave_no_job_when_they_are_marked(
    airflow: Standalone, queue: FaultProxy
) -> None:
    run = airflow.start("queued")
    eventually("all deferred", lambda: [task["state"] for task in run.tasks()] == ["deferred"] * 20)
    eventually("all looked at", lambda: sum(re.search(ONE_JOB, call) is not None for call in queue.calls) >= 20)
    eventually("no other call", lambda: set(queue.calls[-3:]) == {ALL_JOBS})
    began, before = time.monotonic(), len(queue.calls)
    eventually("more looks", lambda: len(queue.calls) >= before + 5)
    looks = queue.calls[before:]
    assert set(looks) == {ALL_JOBS}
    assert len(looks) <= (time.monotonic() - began) / SHARED_SECONDS + 2
    run.mark_run("failed")
    with Client(queue.remote) as client:
        eventually("the end of all jobs", lambda: not client.send(endpoints.active_jobs()).training_jobs)


def test_in_the_end_no_job_runs_that_nobody_waits_for(airflow: Standalone, client: Client) -> None:
    """After all the kills, marks and clears of the tests above."""
    eventually("the end of all jobs", lambda: not client.send(endpoints.active_jobs()).training_jobs)
