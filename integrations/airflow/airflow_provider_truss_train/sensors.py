"""Sensors: wait for a job, a checkpoint or a deployment that something else has begun. They never stop anything."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, XComArg

from airflow_provider_truss_train.airflow_side import fail_at_once
from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, BasetenHook

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from truss_train_core import Client
    from truss_train_core.jobs import TrainingJob


class _BasetenSensor(BaseSensorOperator):
    """What all have in common: a connection, and a wait in the triggerer where nothing is there yet."""

    def __init__(self, *, baseten_conn_id: str = DEFAULT_CONNECTION, deferrable: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", fail_at_once())
        super().__init__(**kwargs)
        self.baseten_conn_id = baseten_conn_id
        self.deferrable = deferrable

    @cached_property
    def hook(self) -> BasetenHook:
        return BasetenHook(self.baseten_conn_id)

    def poke(self, context: Context) -> PokeReturnValue:
        with self.hook.client() as client:
            found = self._look(client)
        return PokeReturnValue(found is not None, found)

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        there = self.poke(context)
        if there:
            return there.xcom_value
        with self.hook.client() as client:
            trigger = self._trigger(client)
        return self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on after the triggerer has waited."""
        from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

        from airflow_provider_truss_train.triggers import error_of
        from truss_train_core.errors import WaitTimeout

        error = error_of(event)
        if isinstance(error, WaitTimeout):
            raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(str(error)) from error
        if error:
            raise error
        return super().execute(context)

    def _look(self, client: Client) -> dict[str, Any] | None:
        """What is waited for, as the task returns it, or None while it is not there."""
        raise NotImplementedError

    def _trigger(self, client: Client) -> BaseTrigger:
        raise NotImplementedError

    def _common(self) -> dict[str, Any]:
        return {
            "baseten_conn_id": self.baseten_conn_id,
            "ends_task": self.do_xcom_push and not self.outlets,
            "timeout": float(self.timeout),
        }


class _JobSensor(_BasetenSensor):
    """Waits for something of a job.

    Args:
        run: the record that a training task returned (templated), whose current job is meant; or None.
        job: id or name of the job otherwise (templated).
    """

    template_fields: Sequence[str] = ("run", "job", "baseten_conn_id")

    def __init__(self, *, run: Any = None, job: str | XComArg | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if (run is None) == (job is None):
            raise ValueError("give a run or a job, one of the two")
        self.run = run
        self.job: Any = job

    def _find(self, client: Client) -> TrainingJob:
        from truss_train_core import RunRecord, jobs

        return client.run(jobs.find(self.job or RunRecord.model_validate(self.run).attempt.job_id))


class TrainingJobSensor(_JobSensor):
    """Waits until a job has completed; fails when it ends otherwise. Returns its ids, name and status.

    Args:
        run, job: which: the record that a training task returned, or the id or name of a job (templated).
        baseten_conn_id: id of the connection.
        deferrable: whether to wait in the triggerer rather than on a worker.
        timeout, poke_interval, mode, soft_fail: as for all sensors of Airflow.
    """

    def _look(self, client: Client) -> dict[str, Any] | None:
        from airflow_provider_truss_train.facts import job_facts
        from truss_train_core import jobs

        job = self._find(client)
        return job_facts(jobs.expect_completed(job)) if job.is_terminal and not job.is_syncing else None

    def _trigger(self, client: Client) -> BaseTrigger:
        from airflow_provider_truss_train.triggers import TrainingJobTrigger

        job = self._find(client)
        return TrainingJobTrigger(project_id=job.training_project_id, job_id=job.id, **self._common())


class CheckpointSensor(_JobSensor):
    """Waits until a job has a complete checkpoint; fails when the job ends without. Returns its name, step and size.

    Args:
        run, job: which: the record that a training task returned, or the id or name of a job (templated).
        step: the training step of the checkpoint, at least.
        baseten_conn_id: id of the connection.
        deferrable: whether to wait in the triggerer rather than on a worker.
        timeout, poke_interval, mode, soft_fail: as for all sensors of Airflow.
    """

    def __init__(self, *, step: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step

    def _look(self, client: Client) -> dict[str, Any] | None:
        from airflow_provider_truss_train.facts import checkpoint_facts
        from truss_train_core import Limits, checkpoints
        from truss_train_core.errors import WaitTimeout

        try:
            found = client.run(checkpoints.wait_for(self._find(client), step=self.step, limits=Limits(timeout=0.0)))
        except WaitTimeout:
            return None
        return checkpoint_facts(found)

    def _trigger(self, client: Client) -> BaseTrigger:
        from airflow_provider_truss_train.triggers import CheckpointTrigger

        job = self._find(client)
        return CheckpointTrigger(project_id=job.training_project_id, job_id=job.id, step=self.step, **self._common())


class DeploymentSensor(_BasetenSensor):
    """Waits until a deployment serves; fails when it no longer will. Returns its ids and status.

    Args:
        deployment: what `DeployCheckpointOperator` returned, or any mapping with `model_id` and `deployment_id`
            (templated).
        baseten_conn_id: id of the connection.
        deferrable: whether to wait in the triggerer rather than on a worker.
        timeout, poke_interval, mode, soft_fail: as for all sensors of Airflow.
    """

    template_fields: Sequence[str] = ("deployment", "baseten_conn_id")

    def __init__(self, *, deployment: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment = deployment

    def _look(self, client: Client) -> dict[str, Any] | None:
        from airflow_provider_truss_train.facts import deployment_facts
        from truss_train_core import Limits, deployments
        from truss_train_core.errors import WaitTimeout

        deployment = client.run(deployments.get(*self._ids()))
        try:
            serving = client.run(deployments.wait_until_serving(deployment, limits=Limits(timeout=0.0)))
        except WaitTimeout:
            return None
        return deployment_facts(serving)

    def _trigger(self, client: Client) -> BaseTrigger:
        from airflow_provider_truss_train.triggers import DeploymentTrigger

        model_id, deployment_id = self._ids()
        return DeploymentTrigger(model_id=model_id, deployment_id=deployment_id, **self._common())

    def _ids(self) -> tuple[str, str]:
        return self.deployment["model_id"], self.deployment["deployment_id"]
