"""Triggers: a deployment's run begins when a dataset has a new version, or a job has completed."""

from __future__ import annotations

import asyncio
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
from truss_train_core.testing import LocalPlatform


@flow
def triggered(version: str) -> str:
    return version


@pytest.mark.slow
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


def _deployed(name: str, trigger: Any) -> UUID:
    """A deployment that a trigger starts runs of; nobody carries them out."""
    source = triggered.from_source(Path(__file__).parent, entrypoint=f"{Path(__file__).name}:triggered")
    return source.to_deployment(name, triggers=[trigger]).apply()


def _versions(deployment_id: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(deployment_id={"any_": [deployment_id]}))
    return [run.parameters["version"] for run in runs]
