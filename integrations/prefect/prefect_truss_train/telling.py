"""What happens in a run, told to Prefect: lines in the flow run's log, events, links.

A `Teller` is the listener that tasks hand to the core.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from prefect_truss_train import artifacts
from prefect_truss_train.events import announce

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun
    from truss_train_core import Event


class Teller:
    """Tells of a run's events; a function of one event.

    Args:
        run: of which.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._logger = run_logger()

    def __call__(self, event: Event) -> None:
        from truss_train_core import events

        tell(event, self._logger)
        artifacts.decides_nothing(announce)(event, project=self._run.project.name)
        if isinstance(event, (events.JobSubmitted, events.JobAdopted)):
            artifacts.link_job(self._run, event.project_id, event.job_id, event.job_name or event.job_id)
        elif isinstance(event, (events.DeploymentCreated, events.DeploymentAdopted)):
            artifacts.link_model(self._run, event.model_id, event.deployment_id, event.model_name)

    def of_its_end(self, event: Event) -> None:
        """The same, for the last look at a job of which everything else was told by whoever waited for it."""
        from truss_train_core import events

        if isinstance(event, events.AttemptEnded):
            self(event)


def tell(event: Event, logger: Any) -> None:
    """Log an event."""
    from truss_train_core import events

    if isinstance(event, events.LogLines):
        for line in event.lines:
            logger.info("%s", line.message.rstrip("\n"))
    elif words := sentence(event):
        heeded = isinstance(event, (events.ApiOutage, events.Notice, events.TwinStopped))
        logger.log(logging.WARNING if heeded else logging.INFO, "%s", words)


def run_logger() -> Any:
    """The logger of the current run; outside of runs, that of this package."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("prefect_truss_train")


def sentence(event: Event) -> str | None:
    """What to say of an event; None for one that says nothing to people."""
    from truss_train_core import events

    match event:
        case events.AttemptStarted(number=number, job_name=name, started_from=origin):
            return f"Attempt {number}: {name}{f', from {origin}' if origin else ''}."
        case events.JobSubmitted(job_id=job_id, job_name=name, project_name=project):
            return f"Job {name or job_id} ({job_id}) was submitted to project {project}."
        case events.JobAdopted(job_id=job_id, job_name=name, status=status):
            return f"Job {name or job_id} ({job_id}) was submitted before and is {plain(status)}."
        case events.TwinStopped(job_id=job_id, job_name=name, stays=stays):
            return f"Job {name} ({job_id}) was a twin of {stays} and was stopped."
        case events.JobStatusChanged(job_id=job_id, job_name=name, status=status, message=message):
            return f"Job {name or job_id} is {plain(status)}{f': {message.strip()}' if message else '.'}"
        case events.CheckpointSeen(checkpoint=name, size_bytes=size, complete=complete):
            return f"Checkpoint {name} is complete ({size:,} bytes)." if complete else None
        case events.AttemptEnded(number=number, cause=cause, message=message):
            return f"Attempt {number} {cause}{f': {message}' if message else '.'}"
        case events.Resuming(attempt=number, checkpoint=origin, reason=reason):
            return f"Attempt {number} goes on from {origin or 'the start'}: {reason}"
        case events.CheckpointChosen(checkpoint=name, reason=reason):
            return f"Checkpoint {name} was chosen: {reason}."
        case events.DeploymentCreated(deployment_id=deployment_id, model_name=model):
            return f"Deployment {deployment_id} of model {model} was created."
        case events.DeploymentAdopted(deployment_id=deployment_id, model_name=model):
            return f"Deployment {deployment_id} of model {model} was created before."
        case events.DeploymentStatusChanged(deployment_id=deployment_id, status=status):
            return f"Deployment {deployment_id} is {plain(status)}."
        case events.DeploymentPromoted(deployment_id=deployment_id, environment=environment, former_id=former):
            return f"Deployment {deployment_id} answers in {environment}{f', instead of {former}' if former else ''}."
        case events.ModelAnswered(answer=answer):
            return f"The model answers {answer}"
        case events.ApiOutage(error=error, seconds=seconds):
            return f"The API has not answered for {seconds:.0f} s; waiting on. {error}"
        case events.Notice(about=about, text=text):
            return f"{about} {text}"
    return None


def plain(status: str) -> str:
    """A status in words: "TRAINING_JOB_RUNNING" is "running"."""
    return status.removeprefix("TRAINING_JOB_").replace("_", " ").lower()
