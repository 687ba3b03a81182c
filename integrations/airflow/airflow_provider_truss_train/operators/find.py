"""Find the checkpoint that a model answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_truss_train.airflow_side import teller
from airflow_provider_truss_train.links import CheckpointLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class FindServedCheckpointOperator(BasetenOperator):
    """Finds the checkpoint that answers in an environment of a model, for a training that is to begin from it.

    Returns its `job_id`, `name` and `step`, which `TrainingJobOperator` takes as `begin_from`; or None where nothing
    answers there yet, or its job was deleted.

    Args:
        model_name: of the model (templated).
        environment: "production", or one that was created (templated).
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("model_name", "environment", "baseten_conn_id")
    operator_extra_links = (CheckpointLink(),)
    ui_color = "#d7f0d0"

    def __init__(self, *, model_name: str, environment: str = "production", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.environment = environment

    def execute(self, context: Context) -> dict[str, Any] | None:
        from truss_train_core import jobs, lineage, runs

        with self.hook.client() as client:
            find = runs.served_checkpoint(self.model_name, self.environment)
            served = client.run(find, on_event=teller(self.log))
            if served is None:
                self.log.info("%s of model %s has no checkpoint to begin from.", self.environment, self.model_name)
                return None
            job = client.run(jobs.find(served.job_id))
        self.log.info("%s of job %s answers in %s.", served.name, served.job_id, self.environment)
        self.made = [lineage.checkpoint(served.job_id, served.name, step=served.step)]
        self.pages[CheckpointLink.name] = self.hook.remote.job_page(job.training_project_id, job.id)
        self._tell_outlets(context)
        return served.model_dump(mode="json")
