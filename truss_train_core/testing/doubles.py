"""Looking for what must never be there twice, after a pipeline was killed, cut off and tried again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from truss_train_core.api import endpoints
from truss_train_core.api.client import Client
from truss_train_core.api.models import DeploymentStatus, JobStatus
from truss_train_core.deployments.requests import served_by
from truss_train_core.jobs.names import attempt_of


@dataclass(frozen=True)
class Double:
    """What there is more than one of.

    Attributes:
        what: jobs that do the same attempt of the same run, or deployments that serve the same.
        of: the name of the jobs, or of the model.
        ids: of all of them.
    """

    what: Literal["job", "deployment"]
    of: str
    ids: tuple[str, ...]


def doubles(client: Client) -> list[Double]:
    """Jobs and deployments of an account that exist twice, apart from those that were stopped or serve no longer.

    Only jobs are compared whose names carry the key of a run: people may give one name to several jobs.
    """
    found: defaultdict[tuple[Literal["job", "deployment"], str, object], list[str]] = defaultdict(list)
    for job in client.send(endpoints.search_jobs()).training_jobs:
        if job.name and attempt_of(job.name) and job.current_status != JobStatus.STOPPED:
            found["job", job.name, job.training_project_id].append(job.id)
    for model in client.send(endpoints.list_models()).models:
        for deployment in client.send(endpoints.list_deployments(model.id)).deployments:
            if not deployment.is_dead and deployment.status != DeploymentStatus.DEACTIVATING:
                config = client.send(endpoints.get_deployment_config(model.id, deployment.id)).config
                found["deployment", model.name, (model.id, served_by(config))].append(deployment.id)
    return [Double(what, of, tuple(ids)) for (what, of, _), ids in found.items() if len(ids) > 1]
