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
    elif words := events.sentence(event):
        heeded = isinstance(event, (events.ApiOutage, events.Notice, events.TwinStopped))
        logger.log(logging.WARNING if heeded else logging.INFO, "%s", words[0].upper() + words[1:])


def run_logger() -> Any:
    """The logger of the current run; outside of runs, that of this package."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("prefect_truss_train")
