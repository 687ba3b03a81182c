"""Where a client loses lines, hangs, or hides what the server said: ours does not, against a server over HTTP."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served_platform import Served, now

from truss_train_core import Client, Remote, checkpoints, jobs
from truss_train_core.api import endpoints
from truss_train_core.api.clock import Clock
from truss_train_core.api.flows import Event, Flow, work
from truss_train_core.api.models import TrainingJob
from truss_train_core.api.request import Request
from truss_train_core.errors import Rejected
from truss_train_core.events import LogLines
from truss_train_core.local.joblogs import LogWriter, path_of
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE
from truss_train_core.local.runner import CheckpointIndex, StoredCheckpoint, StoredFile
from truss_train_core.local.server.database import Job
from truss_train_core.local.statefiles import write_json_atomic
from truss_train_core.testing import ManualClock

DAY = 24 * 3600
FULL = {"accelerator": {"accelerator": "H100", "count": 8}}


def connected(platform: Served) -> Client:
    """A client for which pauses take no time."""
    remote = Remote.at(platform.url, platform.platform.api_key, name="local")
    return Client(remote, clock=ManualClock(time.time()))


@pytest.fixture
def client(platform: Served) -> Iterator[Client]:
    with connected(platform) as client:
        yield client


@pytest.fixture
def job(platform: Served, client: Client) -> TrainingJob:
    return client.run(jobs.find(platform.running_job(platform.project())))


def log_of(platform: Served, job: TrainingJob) -> LogWriter:
    return LogWriter(platform.platform.data.job(job.id), 0)


def write(platform: Served, job: TrainingJob, *lines: tuple[float, str]) -> None:
    """Lines of given times, in seconds since the epoch."""
    path = path_of(platform.platform.data.job(job.id), 0)
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        for at, text in lines:
            file.write(f'{{"timestamp":"{int(at * 1e9)}","replica":"g00r0","level":null,"message":"{text}"}}\n')


def end(platform: Served, job: TrainingJob) -> None:
    platform.runner.set(job.id, "completed")
    platform.move_on()


def followed(client: Client, job: TrainingJob, *companions: Callable[[TrainingJob], Flow[None]]) -> list[str]:
    heard: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, LogLines):
            heard.extend(line.message.rstrip("\n") for line in event.lines)

    client.run(jobs.follow(job, companions=companions), on_event=listen)
    return heard


# ---------------------------------------------------------------- lines that are lost


def test_a_window_from_the_beginning_of_time_is_not_one_without_a_start(
    platform: Served, client: Client, job: TrainingJob
) -> None:
    write(platform, job, (300.0, "five minutes after the epoch"))
    window = endpoints.job_logs(job.training_project_id, job.id, start_epoch_millis=0, end_epoch_millis=2400_000)

    assert [line.message for line in client.send(window).logs] == ["five minutes after the epoch"]


def test_a_job_that_was_queued_and_silent_for_longer_than_a_window_keeps_its_later_lines(
    platform: Served, client: Client, job: TrainingJob
) -> None:
    created = time.time() - 20 * DAY
    write(platform, job, (created + 3 * 3600, "after the queue"), (created + 19 * DAY, "after the silence"))
    with platform.platform.database.writing() as session:
        session.query(Job).filter_by(id=job.id).one().created_at = created

    read = client.run(jobs.fetch_log(client.run(jobs.get(job))))
    assert [line.message for line in read] == ["after the queue", "after the silence"]


def test_identical_lines_of_one_burst_are_each_read_across_the_ends_of_pages(
    platform: Served, client: Client, job: TrainingJob
) -> None:
    log_of(platform, job).output(["loss is nan"] * 3500)

    assert [line.message for line in client.run(jobs.fetch_log(job))] == ["loss is nan\n"] * 3500


def test_no_millisecond_holds_more_lines_than_the_api_hands_out_at_once(
    platform: Served, job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "now", lambda _: 1_750_000_000.0)  # a machine too fast for its clock
    log_of(platform, job).output([str(number) for number in range(3000)])

    path = f"/v1/training_projects/{job.training_project_id}/jobs/{job.id}/logs"
    start = 1_750_000_000_000
    answer = platform.call("GET", path, start_epoch_millis=start, end_epoch_millis=start + 1, limit=1000)
    assert 0 < len(answer["logs"]) < 1000


def test_more_lines_between_two_looks_than_one_answer_holds_are_all_handed_over_once(
    platform: Served, client: Client, job: TrainingJob
) -> None:
    log = log_of(platform, job)
    bursts = [[f"{burst}: {number}" for number in range(1200)] for burst in range(3)]
    left = list(bursts)

    def train(_: TrainingJob) -> Flow[None]:
        yield from work(lambda: log.output(left.pop(0)) if left else end(platform, job))

    assert followed(client, job, train) == [*itertools.chain.from_iterable(bursts)]


def test_two_readers_off_the_main_thread_each_get_every_line(platform: Served, job: TrainingJob) -> None:
    log_of(platform, job).output([str(number) for number in range(1500)])
    end(platform, job)
    heard: list[list[str]] = []

    def read() -> None:
        with connected(platform) as client:
            heard.append(followed(client, job))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert heard == [[str(number) for number in range(1500)]] * 2


def test_files_of_checkpoints_are_listed_to_the_last_page(platform: Served, client: Client, job: TrainingJob) -> None:
    files = tuple(
        StoredFile(path=f"checkpoint-1/{number:04}", rank=0, size_bytes=1, last_modified=now())
        for number in range(2001)
    )
    checkpoint = StoredCheckpoint(name="checkpoint-1", kind="full", created_at=now(), complete=True, files=files)
    store = platform.platform.data.checkpoints(job.training_project_id, job.id)
    store.mkdir(parents=True)
    write_json_atomic(store / INDEX_FILE, CheckpointIndex(checkpoints=(checkpoint,)))

    listed = client.run(checkpoints.list_files(job))
    assert [file.relative_file_name for file in listed] == [file.path for file in files]


# ---------------------------------------------------------------- waits that never end


def test_following_a_job_that_failed_before_it_logged_ends(platform: Served, client: Client) -> None:
    platform.runner.refuses = OSError("no such interpreter")
    job = client.run(jobs.find(platform.job(platform.project())["id"]))
    platform.move_on()

    assert client.run(jobs.follow(job)).current_status == "TRAINING_JOB_DEPLOY_FAILED"


def test_a_job_that_is_stopped_while_it_waits_ends_the_wait_for_it(platform: Served, client: Client) -> None:
    project = platform.project()
    platform.running_job(project, compute=FULL)
    pending = client.run(jobs.find(platform.job(project, compute=FULL)["id"]))
    stopped = client.run(jobs.stop(pending))

    assert (pending.current_status, stopped.current_status) == ("TRAINING_JOB_PENDING", "TRAINING_JOB_STOPPED")
    assert client.run(jobs.wait(pending)).is_terminal


# ---------------------------------------------------------------- answers that are hidden


@pytest.mark.parametrize(
    ("training_job", "said"),
    [
        ({"runtime": {"environment_variables": {"T": {"name": "gone"}}}}, "there is no secret 'gone'. Add it first"),
        ({"interactive_session": {"trigger": "on_startup"}}, "no interactive sessions"),
    ],
)
def test_what_the_server_says_is_in_the_error(
    platform: Served, client: Client, training_job: dict[str, Any], said: str
) -> None:
    body = {"image": {"base_image": "python:3.12"}, "name": "digits-1", **training_job}
    with pytest.raises(Rejected, match=said) as caught:
        client.send(endpoints.create_job(platform.project(), body))

    assert (caught.value.status, caught.value.code) == (400, "VALIDATION_ERROR")
    assert "digits-1" in str(caught.value)


def test_an_error_of_a_call_that_is_not_served_says_so_at_once(client: Client) -> None:
    with pytest.raises(Rejected, match="does not serve GET /v1/models/m/deployments/d/download"):
        client.send(Request("GET", "/v1/models/m/deployments/d/download", bytes, "deployment d"))
