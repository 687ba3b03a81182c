"""What a record stands for, as it is now."""

from __future__ import annotations

import re

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, send
from truss_train_core.api.models import TrainingJob
from truss_train_core.runs.record import RunRecord


def jobs_of(record: RunRecord) -> Flow[list[TrainingJob]]:
    """The jobs of all attempts, the oldest first; those that the record leaves out as well, found by their names."""
    if record.project_id is None:
        return []
    listed = (yield from send(endpoints.list_jobs(record.project_id))).training_jobs
    by_name: dict[str, TrainingJob] = {}
    for job in sorted(listed, key=lambda each: (each.created_at, each.id)):
        if re.search(rf"-{re.escape(record.key)}-\d+$", job.name or ""):
            by_name.setdefault(job.name or "", job)  # of twins, the oldest
    return list(by_name.values())
