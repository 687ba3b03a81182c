"""Choose the best checkpoint of a sweep."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_provider_truss_train.airflow_side import teller
from airflow_provider_truss_train.facts import chosen_checkpoint
from airflow_provider_truss_train.links import CheckpointLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core import Client
    from truss_train_core.sweeps import Results, Trial

SWEEP_KEY = "truss_train_sweep"
"""The XCom of what the page of a sweep is read from."""


class ChooseTrialOperator(BasetenOperator):
    """Chooses the best checkpoint over all trials of a sweep, and shows the table of the trials in the task's log.

    Its tab "Training run" shows the table and a curve for each trial. It runs when all trials have ended, however they
    did: one that failed, or was stopped early, counts with the checkpoints that it has.

    Returns the choice, as `ChooseCheckpointOperator` does, and `trial` and `parameters` of the trial that it is of.

    Args:
        trials: of the sweep, each as `sweeps.Trial.model_dump` (templated; usually a task's output).
        config: path of the config.py of the trials, absolute or relative to the DAG file (templated).
        deployable: whether only checkpoints that Baseten can deploy are considered.
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("trials", "config", "baseten_conn_id")
    operator_extra_links = (CheckpointLink(),)
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        trials: Sequence[Mapping[str, Any]] | XComArg,
        config: str | os.PathLike[str] | XComArg,
        deployable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"trigger_rule": "all_done", **kwargs})
        self.trials: Any = trials
        self.config: Any = os.fspath(config) if isinstance(config, os.PathLike) else config
        self.deployable = deployable

    def execute(self, context: Context) -> dict[str, Any]:
        from truss_train_core.errors import DefinitionError
        from truss_train_core.sweeps import Trial, table

        if not self.trials:
            raise DefinitionError("There are no trials to choose among.", hint="Did the task that makes them fail?")
        trials = [Trial.model_validate(trial) for trial in self.trials]
        with self.hook.client() as client:
            project_id, results = self._results(client, trials)
        context["ti"].xcom_push(key=SWEEP_KEY, value={"project_id": project_id, "trials": self.trials})
        for row in table(results):
            self.log.info("%s", "  ".join(f"{name} {value}" for name, value in row.items() if value))
        choice = results.expect_choice()
        self.pages[CheckpointLink.name] = self.hook.remote.job_page(project_id, choice.checkpoint.training_job_id)
        self.made = [chosen_checkpoint(choice)]
        self._tell_outlets(context)
        chosen = results.chosen.trial if results.chosen else None
        return {
            **choice.model_dump(mode="json", exclude={"table"}),
            "trial": chosen.number if chosen else None,
            "parameters": chosen.parameters if chosen else None,
        }

    def _results(self, client: Client, trials: Sequence[Trial]) -> tuple[str, Results]:
        from truss_train_core import checkpoints, jobs, sweeps

        project = client.run(jobs.find_project(trials[0].project(self._file(self.config)).name))
        requirement = checkpoints.deployable if self.deployable else checkpoints.complete
        flow = sweeps.results(project.id, trials, requirement=requirement)
        return project.id, client.run(flow, on_event=teller(self.log))
