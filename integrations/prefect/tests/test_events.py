"""Triggers: a deployment's run begins when a dataset has a new version, or a job has completed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from looking import eventually
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from project import BLOCK, CONFIG

from prefect_truss_train import on_job, on_new_dataset, train_and_deploy, watch_dataset
from prefect_truss_train.datasets import dataset_version
from truss_train_core.testing import LocalPlatform


@flow
def triggered(version: str) -> str:
    return version


def test_each_version_of_a_dataset_triggers_one_run(tmp_path: Path) -> None:
    file = tmp_path / "reviews" / "part-1.jsonl"
    file.parent.mkdir()
    file.write_text("one\n")
    trigger = on_new_dataset("reviews", parameters={"version": "{{ event.payload.version }}"})
    deployment_id = _deployed("reviews", trigger)

    def look() -> str:
        return asyncio.run(watch_dataset("reviews", str(file.parent)))

    first = look()
    assert look() == first
    eventually(lambda: _versions(deployment_id) == [first])
    file.write_text("one\ntwo\n")
    second = look()
    assert second != first
    eventually(lambda: sorted(_versions(deployment_id)) == sorted([first, second]))


def test_a_completed_job_triggers_a_run(platform: LocalPlatform) -> None:
    trigger = on_job("completed", project="quick", parameters={"version": "{{ event.payload.job_name }}"})
    deployment_id = _deployed("completed", trigger)
    run = train_and_deploy(CONFIG, credentials=BLOCK, follow_logs=False)
    eventually(lambda: _versions(deployment_id) == [run.job_name])


def test_a_store_and_a_file_have_versions_too_and_nothing_has_none(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("1,2\n")
    store = f"file://{tmp_path}"
    before = dataset_version(store), dataset_version(str(file))
    assert before == (dataset_version(store), dataset_version(str(file)))
    file.write_text("1,2\n3,4\n")
    after = dataset_version(store), dataset_version(str(file))
    assert before[0] != after[0]
    assert before[1] != after[1]
    with pytest.raises(FileNotFoundError):
        dataset_version(str(tmp_path / "missing"))


def test_the_version_of_a_dataset_on_the_hub_is_its_commit(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub)
    assert dataset_version("hf://someone/reviews") == "commit-of-main"
    assert dataset_version("hf://someone/reviews@v2") == "commit-of-v2"
    with pytest.raises(FileNotFoundError, match="someone/other"):
        dataset_version("hf://someone/other")


@pytest.fixture
def hub() -> Iterator[str]:
    """A server that knows one dataset, as the Hub answers for it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known, _, revision = self.path.rpartition("/revision/")
            found = known == "/api/datasets/someone/reviews"
            body = json.dumps({"sha": f"commit-of-{revision}"} if found else {}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _deployed(name: str, trigger: Any) -> UUID:
    """A deployment that a trigger starts runs of; nobody carries them out."""
    source = triggered.from_source(Path(__file__).parent, entrypoint=f"{Path(__file__).name}:triggered")
    return source.to_deployment(name, triggers=[trigger]).apply()


def _versions(deployment_id: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(deployment_id={"any_": [deployment_id]}))
    return [run.parameters["version"] for run in runs]
