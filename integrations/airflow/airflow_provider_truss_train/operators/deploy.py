"""Deploy a chosen checkpoint, and wait until it serves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_provider_truss_train.airflow_side import teller
from airflow_provider_truss_train.links import ModelLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core.definitions import DeployCheckpointsConfig


class DeployCheckpointOperator(BasetenOperator):
    """Deploys a chosen checkpoint, exactly once however often the task is tried, and waits until it serves.

    Returns `model_id`, `deployment_id` and `status`, and with a question the `answer`.

    Args:
        checkpoint: the choice that `ChooseCheckpointOperator` returned (templated; usually that task's output).
        config: path of a config.py with a `DeployCheckpointsConfig`, absolute or relative to the DAG file (templated);
            or that definition itself.
        labels: what the deployment came of, e.g. the version of a dataset (templated); see `deployments.with_labels`.
            A live deployment of the checkpoint is adopted with the labels that it has.
        question: what to ask the deployed model, as JSON; None for nothing.
        question_path: where: "predict", or "sync/…" for a path of the model server itself.
        serving_timeout: seconds that the deployment may take to serve.
        baseten_conn_id: id of the connection.
        deferrable: whether to wait in the triggerer rather than on a worker.
    """

    template_fields: Sequence[str] = ("checkpoint", "config", "labels", "question", "baseten_conn_id")
    operator_extra_links = (ModelLink(),)
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        checkpoint: Any,
        config: str | os.PathLike[str] | XComArg | DeployCheckpointsConfig,
        labels: Mapping[str, str] | None = None,
        question: Mapping[str, Any] | None = None,
        question_path: str = "predict",
        serving_timeout: float = 3600.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        is_path = isinstance(config, (str, os.PathLike, XComArg))
        self.checkpoint = checkpoint
        self.config: Any = os.fspath(config) if isinstance(config, os.PathLike) else config if is_path else None
        self.definition: Any = None if is_path else config
        self.labels = labels
        self.question = question
        self.question_path = question_path
        self.serving_timeout = serving_timeout
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        return self._deploy(context, wait_without_worker=self.deferrable)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after the triggerer has waited; the deployment that there is is found again."""
        from airflow_provider_truss_train.triggers import error_of

        if error := error_of(event):
            raise error
        return self._deploy(context, wait_without_worker=False)

    def _deploy(self, context: Context, *, wait_without_worker: bool) -> dict[str, Any]:
        from airflow_provider_truss_train.facts import chosen_checkpoint, deployment_facts
        from truss_train_core import Limits, deployments, lineage, load_deploy_checkpoints_config
        from truss_train_core.checkpoints import Choice

        choice = Choice.model_validate({**self.checkpoint, "table": ()})
        chosen = choice.checkpoint
        self.used = [chosen_checkpoint(choice)]
        config = self.definition or load_deploy_checkpoints_config(self._file(self.config))
        config, labels = deployments.with_checkpoint(config, chosen), self.labels or {}
        config = deployments.with_labels(config, labels) if labels else config
        tell = teller(self.log)
        with self.hook.client() as client:
            deployment = client.run(deployments.deploy(config), on_event=tell)
            page = self.hook.remote.model_page(deployment.model_id, deployment.id)
            self.pages[ModelLink.name] = page
            if wait_without_worker:
                self._defer(deployment.model_id, deployment.id)
            limits = Limits(timeout=self.serving_timeout)
            serving = client.run(deployments.wait_until_serving(deployment, limits=limits), on_event=tell)
            facts = deployment_facts(serving)
            self.made = [lineage.model(serving.model_id, **{**labels, **facts, "checkpoint": self.used[0].uri})]
            self._tell_outlets(context)
            if self.question is None:
                return facts
            return {**facts, "answer": client.run(deployments.ask(serving, self.question, path=self.question_path))}

    def _defer(self, model_id: str, deployment_id: str) -> None:
        from airflow_provider_truss_train.triggers import DeploymentTrigger

        self.defer(
            trigger=DeploymentTrigger(
                baseten_conn_id=self.baseten_conn_id,
                model_id=model_id,
                deployment_id=deployment_id,
                timeout=self.serving_timeout,
                ends_task=self.do_xcom_push and self.question is None and not self._needs_worker_to_end(),
            ),
            method_name="execute_complete",
        )
