"""Interactive sessions, of which a local platform has none: a job that asks for one is refused when it is created.

These endpoints answer what they answer for a job without a session.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from truss_train_core.api import models
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.lifecycle import find_job
from truss_train_core.local.server.problems import Problem


class _Update(BaseModel):
    timeout_minutes: int | None = None
    trigger: Literal["on_startup", "on_failure", "on_demand"] | None = None


class _Sign(BaseModel):
    public_key: str
    replica_id: str | None = None


def auth_codes(call: Call) -> Answer:
    """None: no job has a session."""
    _check_job(call)
    return models.AuthCodesAnswer(auth_codes=[])


def update_session(call: Call) -> Answer:
    """404: no job has a session."""
    call.body(_Update)
    _check_job(call)
    named = f" {call.path['session_id']!r}" if "session_id" in call.path else ""
    raise Problem(404, f"Job {call.path['job_id']} has no interactive session{named}: the local platform has none.")


def sign_ssh_key(call: Call) -> Answer:
    """400: there is nothing to log in to."""
    call.body(_Sign)
    _check_job(call)
    raise Problem(
        400,
        f"Job {call.path['job_id']} cannot be logged in to: the local platform has no interactive sessions. The job's "
        "processes run on this machine, where they can be looked at directly.",
    )


def _check_job(call: Call) -> None:
    with call.platform.database.reading() as session:
        find_job(session, call.path["project_id"], call.path["job_id"])


_JOB = "/v1/training_projects/{project_id}/jobs/{job_id}"
ROUTES = (
    Route("GET", _JOB + "/auth_codes", auth_codes),
    Route("PATCH", _JOB + "/interactive_sessions/{session_id}", update_session),
    Route("PATCH", _JOB + "/interactive_session", update_session),  # the job's own, as seen on the wire
    Route("POST", _JOB + "/ssh/sign", sign_ssh_key),
)
