"""What happens in a run, for whoever watches: progress bars, engine logs, artifacts, lineage.

Flows emit these; a listener is a function of one event. Events are values: small, frozen, JSON by `model_dump_json()`,
free of secrets. The run's record travels in `truss_train_core.runs.RecordChanged`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from truss_train_core.api.flows import Event
from truss_train_core.api.models import LogLine
from truss_train_core.values import Value

# ---------------------------------------------------------------- values that events carry


class LogCursor(Value):
    """Where a reader of a job's log is: JSON of a few kilobytes at most times, from which another process reads on.

    Attributes:
        start_millis: lines before this millisecond (since the epoch) are settled and are not asked for again.
        seen: lines from there on that were handed over already: digest → how many such lines.
        complete: whether the platform said that there will be no others. Only the local one does, of an ended job.
    """

    start_millis: int
    seen: dict[str, int] = Field(default={})
    complete: bool = False


class ChoiceRow(Value):
    """A checkpoint in the table of a decision.

    Attributes:
        step: the training step, as its name tells it, or None.
        value: its metric, or None where it has none.
        rejected: why it could not be chosen, or None.
    """

    job_id: str
    checkpoint: str
    step: int | None = None
    value: float | None = None
    rejected: str | None = None


# ---------------------------------------------------------------- jobs


class ArchiveUploading(Event):
    """The archive of a working directory is under way, and so many bytes of it are handed over; told now and then."""

    sent_bytes: int
    size_bytes: int


class _AboutJob(Event):
    project_id: str
    project_name: str
    job_id: str
    job_name: str | None


class JobSubmitted(_AboutJob):
    """A job was created."""


class JobAdopted(_AboutJob):
    """The job of this name existed already and is taken as ours: nothing was created."""

    status: str


class TwinStopped(Event):
    """A second job of the same name was stopped: two processes submitted at once, and the older job, `stays`, stays."""

    job_id: str
    job_name: str
    stays: str


class JobStatusChanged(Event):
    """A job is seen in a status for the first time.

    Attributes:
        message: the cause for a failed job, advice on the queue for a waiting one.
    """

    job_id: str
    job_name: str | None
    status: str
    message: str | None = None


class LogLines(Event):
    """Lines of a job's log, each handed over once. `cursor` is where to go on reading after them."""

    job_id: str
    lines: tuple[LogLine, ...]
    cursor: LogCursor


class CheckpointSeen(Event):
    """A checkpoint of a job is listed for the first time, or is listed as complete for the first time."""

    job_id: str
    checkpoint: str
    step: int | None
    size_bytes: int
    created_at: datetime
    complete: bool


# ---------------------------------------------------------------- deployments


class _AboutDeployment(Event):
    model_id: str
    model_name: str
    deployment_id: str


class DeploymentCreated(_AboutDeployment):
    """A deployment was created."""


class DeploymentAdopted(_AboutDeployment):
    """A live deployment of the same checkpoints existed already: nothing was created."""


class DeploymentStatusChanged(Event):
    """A deployment is seen in a status for the first time."""

    model_id: str
    deployment_id: str
    status: str


class DeploymentPromoted(Event):
    """A deployment answers in an environment now, in place of `former_id` where something answered there before.

    `reason` is what the gates said for it.
    """

    model_id: str
    environment: str
    deployment_id: str
    former_id: str | None
    reason: str = ""


class DeploymentKept(Event):
    """A gate refused to let a deployment answer, for this reason; `deployment_id`, or None, answers on."""

    model_id: str
    environment: str
    deployment_id: str | None
    refused_id: str
    reason: str


class DeploymentProbed(Event):
    """A deployment on probation was asked. `objections` is how many times in a row it has failed now, 0 if it did not.

    `reason` is what the probe said.
    """

    model_id: str
    environment: str
    deployment_id: str
    objections: int
    reason: str


class ModelAnswered(Event):
    """The deployed model was asked, and this is the beginning of its answer, as JSON."""

    model_id: str
    deployment_id: str
    answer: str


# ---------------------------------------------------------------- the run


class AttemptStarted(Event):
    """An attempt is about to be submitted. `started_from` is the pinned checkpoint, or None for the run's own start."""

    number: int
    job_name: str
    started_from: str | None


class MovedToDedicated(Event):
    """An attempt gets dedicated capacity instead of spot: the run's deadline is near. `reason` has the figures."""

    job_name: str
    reason: str


class AttemptEnded(Event):
    """The job of an attempt ended. `message` is the cause that the API gives, or None; or the verdict that ended it."""

    number: int
    job_id: str
    cause: Literal["completed", "stopped early", "failed", "preempted", "stopped"]
    message: str | None


class Resuming(Event):
    """The run goes on with a new attempt.

    Attributes:
        job_id, checkpoint: what it starts from; both None for the run's own starting point.
        reason: why this one, or why none.
    """

    attempt: int
    job_id: str | None
    checkpoint: str | None
    reason: str


class CheckpointChosen(Event):
    """A checkpoint was chosen, by `metric`, or as the newest where that is None."""

    job_id: str
    checkpoint: str
    metric: str | None
    mode: Literal["min", "max"] | None
    value: float | None
    reason: str
    table: tuple[ChoiceRow, ...]


# ---------------------------------------------------------------- anything


class ApiOutage(Event):
    """The API does not answer, and what waits for it goes on waiting. `seconds` is for how long already."""

    error: str
    seconds: float


class Notice(Event):
    """Something that a person should know and that stops nothing."""

    about: str
    text: str


# ---------------------------------------------------------------- in words


def sentence(event: Event) -> str | None:
    """What to tell a person of an event, in one line; None for one that says nothing to people, and for log lines."""
    match event:
        case ArchiveUploading(sent_bytes=sent, size_bytes=size):
            return f"{sent / 2**20:,.0f} of {size / 2**20:,.0f} MiB of the working directory are uploaded"
        case JobSubmitted(job_id=job_id, job_name=name, project_name=project):
            return f"{_named(name, job_id)} was submitted to project {project}"
        case JobAdopted(job_id=job_id, job_name=name, status=status):
            return f"{_named(name, job_id)} was submitted before and is {plain_status(status)}"
        case TwinStopped(job_id=job_id, job_name=name, stays=stays):
            return f"{_named(name, job_id)} was a twin of {stays} and was stopped"
        case JobStatusChanged(job_id=job_id, job_name=name, status=status, message=message):
            return f"{_named(name, job_id)} is {plain_status(status)}{_because(message)}"
        case CheckpointSeen(checkpoint=name, size_bytes=size, complete=True):
            return f"{name} is complete, {size:,} bytes"
        case DeploymentCreated(deployment_id=deployment_id, model_name=model):
            return f"deployment {deployment_id} of model {model} was created"
        case DeploymentAdopted(deployment_id=deployment_id, model_name=model):
            return f"deployment {deployment_id} of model {model} was created before and serves the same checkpoints"
        case DeploymentStatusChanged(deployment_id=deployment_id, status=status):
            return f"deployment {deployment_id} is {plain_status(status)}"
        case DeploymentPromoted(deployment_id=deployment_id, environment=environment, reason=reason):
            return f"deployment {deployment_id} answers in {environment}{_because(reason)}"
        case DeploymentKept(deployment_id=kept, environment=environment, refused_id=refused, reason=reason):
            answers = f"deployment {kept} is kept in {environment}" if kept else f"nothing answers in {environment}"
            return f"{answers}, because {refused} did not pass: {reason}"
        case DeploymentProbed(deployment_id=deployment_id, environment=environment, objections=0, reason=reason):
            return f"deployment {deployment_id} does well in {environment}: {reason}"
        case DeploymentProbed(deployment_id=deployment_id, environment=environment, objections=times, reason=reason):
            return f"deployment {deployment_id} fails in {environment}, {times} in a row: {reason}"
        case ModelAnswered(answer=answer):
            return f"the model answers {answer}"
        case AttemptStarted(number=number, job_name=name, started_from=origin):
            return f"attempt {number}: {name}{f', from {origin}' if origin else ''}"
        case MovedToDedicated(job_name=name, reason=reason):
            return f"{name} gets dedicated capacity: {reason}"
        case AttemptEnded(number=number, cause=cause, message=message):
            return f"attempt {number} {cause}{_because(message)}"
        case Resuming(attempt=number, checkpoint=origin, reason=reason):
            return f"attempt {number} goes on from {origin or 'the start'}: {reason}"
        case CheckpointChosen(checkpoint=name, reason=reason):
            return f"{name} is chosen: {reason}"
        case ApiOutage(error=error, seconds=seconds):
            return f"no answer from the API for {seconds:.0f} s, waiting on: {error}"
        case Notice(about=about, text=text):
            return f"{about} {text}"
    return None


def plain_status(status: str) -> str:
    """A status as people say it: "running" for TRAINING_JOB_RUNNING."""
    return status.removeprefix("TRAINING_JOB_").replace("_", " ").lower()


def _named(name: str | None, job_id: str) -> str:
    return f"job {name} ({job_id})" if name else f"job {job_id}"


def _because(message: str | None) -> str:
    lines = (message or "").strip().splitlines()
    return f": {lines[0]}" if lines else ""
