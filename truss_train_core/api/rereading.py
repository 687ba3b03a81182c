"""Reading the answers to a question that is asked over and over: what says the same as before is not made anew.

Most jobs are as they were half a minute ago. To compare what came on the wire takes a fraction of the time that a model
takes, and no new objects stay behind for the garbage collector to go through.
"""

from __future__ import annotations

import json
from typing import Any

from truss_train_core.api.models import JobsAnswer, TrainingJob


class JobsReader:
    """Reads lists of jobs, one after the other. For one question, and one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[dict[str, Any], TrainingJob]] = {}

    def __call__(self, body: bytes) -> JobsAnswer:
        """As `JobsAnswer.model_validate_json`; a job that is as in the answer before is the same object."""
        listed: dict[str, tuple[dict[str, Any], TrainingJob]] = {}

        def read(fields: dict[str, Any]) -> dict[str, Any] | TrainingJob:
            if "current_status" not in fields:  # what stands within a job: its project, its machines
                return fields
            known = self._known.get(fields["id"])
            if known is None or known[0] != fields:
                known = fields, TrainingJob.model_validate(fields)
            listed[fields["id"]] = known
            return known[1]

        answer = JobsAnswer.model_validate(json.loads(body, object_hook=read))
        self._known = listed
        return answer
