"""Choose a checkpoint of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_truss_train.airflow_side import teller
from airflow_provider_truss_train.facts import chosen_checkpoint
from airflow_provider_truss_train.links import CheckpointLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core import Client
    from truss_train_core.checkpoints import Choice
    from truss_train_core.jobs import TrainingJob


class ChooseCheckpointOperator(BasetenOperator):
    """Chooses a checkpoint of a run, by a metric or the newest, and shows the table it chose from in the task's log.

    Returns the choice, which `DeployCheckpointOperator` takes: `checkpoint`, `step`, `metric`, `mode`, `value` and
    `reason`.

    Args:
        run: the record that a training task returned (templated; usually that task's output).
        metric: name of the metric; None for the newest checkpoint.
        mode: "min" or "max"; to be given with a metric.
        log_pattern: a regular expression that finds the metric in the job's log, as in `checkpoints.from_log`.
        deployable: whether only checkpoints that Baseten can deploy are considered.
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("run", "metric", "mode", "baseten_conn_id")
    operator_extra_links = (CheckpointLink(),)
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        run: Any,
        metric: str | None = None,
        mode: str | None = None,
        log_pattern: str | None = None,
        deployable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (metric is None) != (mode is None):
            raise ValueError("metric and mode are given together: the direction is never guessed")
        self.run = run
        self.metric = metric
        self.mode = mode
        self.log_pattern = log_pattern
        self.deployable = deployable

    def execute(self, context: Context) -> dict[str, Any]:
        from truss_train_core import RunRecord, lineage, runs

        with self.hook.client() as client:
            jobs = client.run(runs.jobs_of(RunRecord.model_validate(self.run)))
            self.used = [lineage.job(job.id, job_name=job.name) for job in jobs]
            choice = self._choose(client, jobs)
        chosen = choice.checkpoint
        self.pages[CheckpointLink.name] = self.hook.remote.job_page(jobs[0].training_project_id, chosen.training_job_id)
        for row in choice.table:
            value = "" if row.value is None else f"{row.value:.6g}"
            self.log.info("%-30s %12s  %s", row.checkpoint, value, row.rejected or "")
        self.made = [chosen_checkpoint(choice)]
        self._tell_outlets(context)
        return choice.model_dump(mode="json", exclude={"table"})

    def _choose(self, client: Client, jobs: Sequence[TrainingJob]) -> Choice:
        from truss_train_core import checkpoints, runs

        requirement = checkpoints.deployable if self.deployable else checkpoints.complete
        if self.metric is None:
            flow = checkpoints.find_newest(jobs, requirement=requirement)
        else:
            best = runs.Best(metric=self.metric, mode=self.mode, log_pattern=self.log_pattern)
            flow = checkpoints.find_best(jobs, best.metric, best.mode, sources=best.sources(), requirement=requirement)
        return client.run(flow, on_event=teller(self.log))
