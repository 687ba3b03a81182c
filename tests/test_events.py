"""Events in words."""

from __future__ import annotations

import pytest

from truss_train_core import events
from truss_train_core.api.flows import Event

SAYINGS = [
    (
        events.JobStatusChanged(
            job_id="j1", job_name="digits-1", status="TRAINING_JOB_FAILED", message="boom\nat line 3"
        ),
        "job digits-1 (j1) is failed: boom",
    ),
    (events.JobStatusChanged(job_id="j1", job_name=None, status="TRAINING_JOB_RUNNING"), "job j1 is running"),
    (
        events.TwinStopped(job_id="j2", job_name="digits-1", stays="j1"),
        "job digits-1 (j2) was a twin of j1 and was stopped",
    ),
    (
        events.ArchiveUploading(sent_bytes=1_258_291_200, size_bytes=4_831_838_208),
        "1,200 of 4,608 MiB of the working directory are uploaded",
    ),
    (events.ApiOutage(error="503", seconds=61.2), "no answer from the API for 61 s, waiting on: 503"),
    (
        events.MovedToDedicated(job_name="digits-2", reason="0:40:00 are left"),
        "digits-2 gets dedicated capacity: 0:40:00 are left",
    ),
    (events.LogLines(job_id="j1", lines=(), cursor=events.LogCursor(start_millis=0)), None),
]


@pytest.mark.parametrize(("event", "words"), SAYINGS)
def test_an_event_is_told_in_one_line(event: Event, words: str | None) -> None:
    assert events.sentence(event) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("TRAINING_JOB_RUNNING", "running"),
        ("TRAINING_JOB_DEPLOY_FAILED", "deploy failed"),
        ("SCALED_TO_ZERO", "scaled to zero"),
        ("completed", "completed"),
        ("", ""),
    ],
)
def test_a_status_is_said_in_plain_words(status: str, words: str) -> None:
    assert events.plain_status(status) == words
