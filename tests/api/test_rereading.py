"""What says the same as in the answer before is the same object; everything else is read as ever."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from truss_train_core import Remote
from truss_train_core.api import endpoints
from truss_train_core.api.client import Client
from truss_train_core.api.models import JobsAnswer
from truss_train_core.api.rereading import JobsReader
from truss_train_core.errors import UnexpectedAnswer
from truss_train_core.testing import ManualClock


def job(job_id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": job_id,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00.5+01:00",
        "current_status": "TRAINING_JOB_RUNNING",
        "training_project_id": "p1",
        "training_project": {"id": "p1", "name": "digits"},
        "instance_type": {"id": "i1", "name": "i1", "gpu_count": 8, "gpu_type": "H100"},
        "user": {"email": "someone@example.com"},
        "a field of a newer API": {"current": [1.5, None]},
        **more,
    }


def body(*jobs: dict[str, Any]) -> bytes:
    return json.dumps({"training_jobs": jobs, "more": {"id": "x"}}).encode()


def test_a_list_of_jobs_is_read_as_it_is_without_a_reader() -> None:
    listed = body(job("a"), job("b", name="ü", error_message="no\nmachine", priority=None), job("c", node_count=2))
    assert JobsReader()(listed) == JobsAnswer.model_validate_json(listed)


def test_only_what_has_changed_is_made_anew() -> None:
    reader = JobsReader()
    first = reader(body(job("a"), job("b"), job("c"))).by_id
    second = reader(body(job("c"), job("b", current_status="TRAINING_JOB_STOPPED"), job("d"))).by_id
    assert list(second) == ["c", "b", "d"]
    assert second["c"] is first["c"]
    assert second["b"].current_status == "TRAINING_JOB_STOPPED"
    again = reader(body(job("b", instance_type={"id": "i2", "name": "i2"}), job("a"))).by_id
    assert again["b"].instance_type is not None
    assert again["b"].instance_type.id == "i2"
    assert again["a"] == first["a"]


@pytest.mark.parametrize("rubbish", [b"<html>", b"[]", b'{"training_jobs": [{"current_status": "x"}]}', b"\xff", b"{}"])
def test_rubbish_is_an_unexpected_answer_and_forgets_nothing(rubbish: bytes) -> None:
    bodies = [body(job("a")), rubbish, body(job("a"))]
    clock = ManualClock()
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=bodies.pop(0)))
    remote = Remote(name="test", api_url="https://api.baseten.co", web_url="https://app.baseten.co", key="k")
    with Client(remote, share=2.0, clock=clock, transport=transport) as client:
        first = client.send(endpoints.active_jobs())
        clock.advance(3)
        with pytest.raises(UnexpectedAnswer):
            client.send(endpoints.active_jobs())
        clock.advance(3)
        assert client.send(endpoints.active_jobs()).by_id["a"] is first.by_id["a"]
