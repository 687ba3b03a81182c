"""The record of a run: JSON of at most 4 KB and without secrets, enough to go on from anywhere.

A record says what is about to happen or has happened. Whoever keeps it (a file, task state, a persisted result) listens
to `RecordChanged`, which comes before anything is created remotely and after, and starts again with the last one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from truss_train_core.api.flows import Event
from truss_train_core.checkpoints import Choice, Mode
from truss_train_core.values import Value

LIMIT = 4000
"""Bytes of a record. Beyond, the oldest attempts are left out: their jobs are found by the key in their names."""
MESSAGE = 200
"""Characters of an error text in an attempt."""
FAILURE = 600
"""Characters of the text of a failed run, and of an answer."""

Cause = Literal["completed", "stopped early", "failed", "preempted", "stopped"]
Phase = Literal[
    "starting", "submitting", "training", "resuming", "choosing", "deploying", "serving", "asking", "done", "failed"
]
FINAL: tuple[Phase, ...] = ("done", "failed")


class CheckpointRef(Value):
    """A checkpoint of a job, by name."""

    job_id: str
    name: str
    step: int | None = None

    @classmethod
    def of(cls, choice: Choice) -> CheckpointRef:
        """The checkpoint of a choice."""
        checkpoint = choice.checkpoint
        return cls(job_id=checkpoint.training_job_id, name=checkpoint.checkpoint_id, step=choice.step)


class Attempt(Value):
    """One job of the run.

    Attributes:
        job_name: carries the run's key and the number. Known before the job exists.
        job_id: None until it does.
        cause: why it ended, or None. "stopped early" is by the plan's verdict, and as good as completed.
        message: the API's words for that, or the verdict's, shortened.
        started_from: the pinned checkpoint; None for the run's own starting point.
        newest: the newest verified checkpoint of the run when the attempt had ended otherwise than completed.
    """

    number: int
    job_name: str
    job_id: str | None = None
    status: str | None = None
    cause: Cause | None = None
    message: str | None = None
    started_from: CheckpointRef | None = None
    newest: CheckpointRef | None = None


class Chosen(Value):
    """The chosen checkpoint; `metric`, `mode` and `value` are None where the newest was taken."""

    checkpoint: CheckpointRef
    metric: str | None = None
    mode: Mode | None = None
    value: float | None = None
    reason: str = ""

    @classmethod
    def of(cls, choice: Choice) -> Chosen:
        """What a record keeps of a choice."""
        return cls(
            checkpoint=CheckpointRef.of(choice),
            metric=choice.metric,
            mode=choice.mode,
            value=choice.value,
            reason=shortened(choice.reason, MESSAGE) or "",
        )


class Deployed(Value):
    """The deployment of the chosen checkpoint."""

    model_id: str
    deployment_id: str
    status: str


class RunRecord(Value):
    """Where a run is.

    Attributes:
        version: of this form.
        key: the run's identity, part of its jobs' names.
        phase: what is to be done next.
        origin: what "the latest checkpoint" in the definition meant when the run began, one for each such reference.
        attempts: the newest last; the oldest may have been left out.
        failures, preemptions: how many attempts ended so, of all.
        answer: the beginning of the deployed model's answer, as JSON.
        failure: why the run failed.
    """

    version: Literal[1] = 1
    key: str
    project_name: str
    project_id: str | None = None
    phase: Phase = "starting"
    origin: tuple[CheckpointRef, ...] = ()
    attempts: tuple[Attempt, ...]
    failures: int = 0
    preemptions: int = 0
    choice: Chosen | None = None
    deployment: Deployed | None = None
    answer: str | None = None
    failure: str | None = None

    @field_validator("attempts")
    @classmethod
    def _at_least_one(cls, attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        if not attempts:
            raise ValueError("a run has at least one attempt")
        return attempts

    @property
    def attempt(self) -> Attempt:
        """The current attempt."""
        return self.attempts[-1]

    @property
    def is_final(self) -> bool:
        return self.phase in FINAL

    def with_attempt(self, attempt: Attempt, **changes: object) -> RunRecord:
        """The record with the current attempt replaced, and other fields as given."""
        return self.changed(attempts=(*self.attempts[:-1], attempt), **changes)

    def changed(self, **changes: object) -> RunRecord:
        """The record with fields as given, within `LIMIT`."""
        record = self.model_copy(update=changes)
        while len(record.model_dump_json().encode()) > LIMIT and (attempts := _shortened(record.attempts)):
            record = record.model_copy(update={"attempts": attempts})
        return record


class RecordChanged(Event):
    """Keep this: the run goes on from here."""

    record: RunRecord


def shortened(text: str | None, characters: int) -> str | None:
    """A text in one line of so many characters at most; None where there is none."""
    line = " ".join((text or "").split())
    return (line if len(line) <= characters else f"{line[: characters - 1]}…") or None


def _shortened(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Without the oldest that can be done without: not the current one, not the last that failed."""
    failed = [attempt.number for attempt in attempts if attempt.cause == "failed"]
    needed = {attempts[-1].number, *failed[-1:]}
    oldest = next((attempt for attempt in attempts if attempt.number not in needed), None)
    return tuple(attempt for attempt in attempts if attempt is not oldest) if oldest else ()
