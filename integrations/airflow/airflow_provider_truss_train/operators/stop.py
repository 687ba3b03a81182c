"""Stop a training job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_provider_truss_train.airflow_side import teller
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class StopTrainingJobOperator(BasetenOperator):
    """Stops a job, if it runs. Returns the job's ids and its status then.

    Args:
        run: the record that a training task returned (templated), whose current job is meant; or None.
        job: id or name of the job otherwise (templated).
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("run", "job", "baseten_conn_id")
    ui_color = "#f0dcd0"

    def __init__(self, *, run: Any = None, job: str | XComArg | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if (run is None) == (job is None):
            raise ValueError("give a run or a job, one of the two")
        self.run = run
        self.job: Any = job

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_truss_train.facts import job_facts
        from truss_train_core import RunRecord, jobs

        wanted = self.job if self.run is None else RunRecord.model_validate(self.run).attempt.job_id
        with self.hook.client() as client:
            job = client.run(jobs.find(wanted))
            return job_facts(client.run(jobs.stop(job), on_event=teller(self.log)))
