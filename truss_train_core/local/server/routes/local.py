"""What only a local platform has."""

from __future__ import annotations

from sqlalchemy import select

from truss_train_core.api import models
from truss_train_core.local.server import answers, lifecycle
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Job
from truss_train_core.local.server.problems import missing


def preempt_job(call: Call) -> Answer:
    """Take a running spot job away, as a reclaim of its capacity would: its status becomes TRAINING_JOB_PREEMPTED."""
    platform, job_id = call.platform, call.path["job_id"]
    with platform.lifecycle, platform.database.reading() as session:
        job = session.scalar(select(Job).where(Job.id == job_id, ~Job.deleted))
        if job is None:
            raise missing("training job", job_id)
        lifecycle.preempt(platform, job)
        return models.JobAnswer(training_job=answers.get_job(session, job.project_id, job_id))


ROUTES = (Route("POST", "/v1/local/jobs/{job_id}/preempt", preempt_job),)
