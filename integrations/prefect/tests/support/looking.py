"""Looking at what there really is, at the platform and at the Prefect server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact

from prefect_truss_train import keys
from truss_train_core import Client
from truss_train_core.api import endpoints
from truss_train_core.jobs import TrainingJob

T = TypeVar("T")


def jobs_of_flow_run(client: Client, flow_run_id: UUID | str) -> list[TrainingJob]:
    """All jobs whose names carry the key of this flow run, whatever their status, the oldest first."""
    key = keys.flow_run_key(flow_run_id)
    listed = client.send(endpoints.search_jobs()).training_jobs
    return sorted((job for job in listed if key in (job.name or "")), key=lambda job: job.created_at)


def artifacts_of(flow_run_id: UUID) -> dict[str, Artifact]:
    """By what the key ends in: "progress", "summary" …"""
    with get_client(sync_client=True) as client:
        artifact_filter = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        found = client.read_artifacts(artifact_filter=artifact_filter)
    return {artifact.key.rpartition("-")[2]: artifact for artifact in found if artifact.key}  # results have none


def events_of(flow_run_id: UUID, prefix: str = "truss-train.") -> list[dict[str, Any]]:
    """The events of such names that the server has for a flow run, the oldest first."""
    with get_client(sync_client=True) as client:
        answer = client._client.post(
            "/events/filter",
            json={
                "filter": {
                    "event": {"prefix": [prefix]},
                    "related": {"id": [f"prefect.flow-run.{flow_run_id}"]},
                    "order": "ASC",
                },
                "limit": 50,
            },
        )
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


def eventually(look: Callable[[], T], *, within: float = 60.0) -> T:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + within
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {look.__name__} still returns {seen!r}")
        time.sleep(0.1)
