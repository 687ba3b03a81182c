"""The triggers: one poll for all of them, nothing secret in their arguments, and whom `on_kill` stops."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from dag_runs import QUICK, status_at_the_end

import truss_train_core
from airflow_provider_truss_train import hooks, triggers
from airflow_provider_truss_train.attending import Attendance
from airflow_provider_truss_train.triggers import TrainingRunTrigger, error_of
from truss_train_core import Client, errors, jobs, load_training_project, push

SLOW = {"STEP_SECONDS": "30"}


def submitted(client: Client, **variables: str) -> jobs.TrainingJob:
    project = load_training_project(QUICK).with_parameters(variables)
    pushed = push(project, client.remote, source_dir=QUICK.parent)
    return client.run(jobs.find(pushed["id"]))


def trigger_for(job: jobs.TrainingJob, *, stop_on_clear: bool = False, **attendance: Any) -> TrainingRunTrigger:
    wanted = Attendance(project_id=job.training_project_id, job_id=job.id, **attendance)
    return TrainingRunTrigger(
        baseten_conn_id="baseten_default",
        ends_task=True,
        attendance=wanted.as_dict(),
        stop_on_clear=stop_on_clear,
        completed={"phase": "done"},
    )


async def fired(trigger: TrainingRunTrigger) -> Any:
    return await anext(trigger.run())


def test_a_trigger_is_rebuilt_from_what_airflow_stores(client: Client, platform: Any) -> None:
    trigger = trigger_for(submitted(client), timeout=9.0)
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == trigger.serialize()
    assert platform.remote.key.get_secret_value() not in json.dumps(arguments)


def test_waits_of_one_loop_share_one_question(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()

    class Counting(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            counted[f"{request.method} {request.url.path}"] += 1
            return await super().handle_async_request(request)

    monkeypatch.setattr(truss_train_core, "AsyncClient", partial(truss_train_core.AsyncClient, transport=Counting()))
    job = submitted(client)
    waits = [trigger_for(job, follow_logs=False) for _ in range(20)]

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(fired(each) for each in waits))

    assert [error_of(event.payload) for event in asyncio.run(all_at_once())] == [None] * 20
    looks = counted["POST /v1/training_jobs/search"]
    assert 1 <= looks <= 15  # not 20 times as many
    fetched = counted[f"GET /v1/training_projects/{job.training_project_id}/jobs/{job.id}"]
    assert fetched <= 20 * 3  # at the beginning and the end


def test_an_error_of_a_wait_reaches_the_worker(client: Client) -> None:
    job = submitted(client)
    gone = job.model_copy(update={"id": "gone"})
    error = error_of(asyncio.run(fired(trigger_for(gone))).payload)
    assert isinstance(error, errors.JobNotFound)
    client.run(jobs.stop(job))


def test_a_worker_goes_on_once_the_scheduler_has_heard_of_the_end_of_the_one_before(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(client, FAIL_AT="1")
    assert status_at_the_end(client, job) == "FAILED"
    took = {}
    for heard_within in (0.0, 2.0):
        monkeypatch.setattr(triggers, "HEARD_WITHIN", heard_within)
        trigger = trigger_for(job, follow_logs=False)
        trigger.task_instance = cast("Any", SimpleNamespace(task_id="train"))  # there is a scheduler
        began = time.monotonic()
        assert error_of(asyncio.run(fired(trigger)).payload) is None
        took[heard_within] = time.monotonic() - began
    assert took[0.0] < 2.0 <= took[2.0]


@pytest.mark.parametrize(
    ("state", "stop_on_clear", "stops"),
    [
        ("failed", False, True),
        ("success", False, True),
        ("removed", False, True),
        ("deferred", False, False),  # cleared and waiting again, or the trigger moves to another triggerer
        ("deferred", True, False),
        (None, False, False),  # cleared, and not scheduled yet
        (None, True, True),
        ("running", True, True),
    ],
)
def test_a_kill_stops_the_job_only_where_nobody_waits_for_it(
    client: Client, monkeypatch: pytest.MonkeyPatch, state: str | None, stop_on_clear: bool, stops: bool
) -> None:
    monkeypatch.setattr(triggers, "task_state", lambda ti: state)
    job = submitted(client, **SLOW)
    asyncio.run(trigger_for(job, stop_on_clear=stop_on_clear).on_kill())
    stopping = "STOPPED" if stops else None
    if stopping:
        assert status_at_the_end(client, job) == stopping
    else:
        assert not client.run(jobs.find(job.id)).is_terminal
        client.run(jobs.stop(job))


def test_a_kill_that_is_called_off_stops_the_job_all_the_same(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "task_state", lambda ti: "failed")
    job = submitted(client, **SLOW)

    async def called_off() -> str:
        kill = asyncio.create_task(trigger_for(job).on_kill())
        await asyncio.sleep(0)
        kill.cancel()
        with pytest.raises(asyncio.CancelledError):
            await kill
        return await asyncio.to_thread(status_at_the_end, client, job)

    assert asyncio.run(called_off()) == "STOPPED"


def test_an_outage_does_not_end_a_wait(client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    away = iter([True, True])

    class Flaky(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if next(away, False):
                raise httpx.ConnectError("away", request=request)
            return await super().handle_async_request(request)

    monkeypatch.setattr(truss_train_core, "AsyncClient", partial(truss_train_core.AsyncClient, transport=Flaky()))
    event = asyncio.run(fired(trigger_for(submitted(client), follow_logs=False)))
    assert error_of(event.payload) is None


def test_the_client_of_a_loop_is_gone_when_its_triggers_are(client: Client) -> None:
    async def one() -> int:
        await fired(trigger_for(submitted(client), follow_logs=False))
        return len(hooks._lent[asyncio.get_running_loop()])

    assert asyncio.run(one()) == 0
