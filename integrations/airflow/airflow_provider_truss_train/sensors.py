"""Sensors: wait for a job, a checkpoint or a deployment that something else has begun, and stop nothing.

`ProbationSensor` watches a deployment that was promoted; that one takes it out of service where it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, XComArg

from airflow_provider_truss_train.airflow_side import HEARD_WITHIN, fail_at_once, teller, tries_before
from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, BasetenHook

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from truss_train_core import Client
    from truss_train_core.deployments import Gate, Probation, Promoted
    from truss_train_core.jobs import TrainingJob

PROBATION_KEY = "truss_train_probation"


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


class ProbationSensor(BaseSensorOperator):
    """Probes a deployment for a while after its promotion, and rolls that back if it fails.

    Between two probes it needs no worker. Several objections in a row roll the promotion back: the former deployment
    answers again, and the task fails and says so. Killed at any moment, the next probe goes on from what was noted.
    What somebody else has promoted meanwhile is left alone.

    Returns the probation: `outcome`, "passed" or "overtaken", `answers`, `probed` and `reason`.

    Args:
        promoted: what `PromoteDeploymentOperator` returned (templated).
        probes: gates of `truss_train_core.gates` that are asked again and again, or a function of the task's context
            that makes them.
        seconds: for how long (templated).
        every: seconds between two probes (templated), and ten at least in the mode "reschedule".
        objections: how many in a row roll the promotion back.
        promotion_timeout: seconds that the environment may take to answer with the former deployment.
        baseten_conn_id: id of the connection.
        timeout, mode: as for all sensors of Airflow; the mode is "reschedule", unless one says otherwise.
    """

    template_fields: Sequence[str] = ("promoted", "seconds", "every", "baseten_conn_id")
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        promoted: Any,
        probes: Sequence[Gate] | Callable[[Context], Sequence[Gate]],
        seconds: float | str = 3600.0,
        every: float | str = 60.0,
        objections: int = 3,
        promotion_timeout: float = 3600.0,
        baseten_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", fail_at_once("DeploymentFailed"))
        kwargs.setdefault("mode", "reschedule")
        super().__init__(**kwargs)
        self.promoted = promoted
        self.probes = probes
        self.seconds = seconds
        self.every = every
        self.objections = objections
        self.promotion_timeout = promotion_timeout
        self.baseten_conn_id = baseten_conn_id

    def execute(self, context: Context) -> Any:
        self.poke_interval = max(float(self.every), HEARD_WITHIN if self.reschedule else 0.0)
        return super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        from truss_train_core import Limits, deployments

        left, tell = _LeftOfProbation(context, self.retries or 0), teller(self.log)
        probes = self.probes(context) if callable(self.probes) else self.probes
        limits = Limits(timeout=self.promotion_timeout)
        with BasetenHook(self.baseten_conn_id).client() as client:
            promoted = deployments.Promoted.model_validate(self.promoted)
            record = left.read(promoted) or client.run(deployments.begin_probation(promoted, float(self.seconds)))
            once = deployments.probe_once(record, probes, objections=self.objections, limits=limits)
            record = client.run(once, on_event=tell)
        left.keep(record)
        deployments.expect_passed(record)
        return PokeReturnValue(record.outcome != "watching", record.model_dump(mode="json"))


class _LeftOfProbation:
    """What a probe leaves to the next, which another process may make. It holds until the task is cleared."""

    def __init__(self, context: Context, retries: int) -> None:
        self._store: Any = context["task_state_store"]
        self._tries_before = tries_before(context["ti"], retries)

    def read(self, of: Promoted) -> Probation | None:
        from truss_train_core.deployments import Probation

        left = self._store.get(PROBATION_KEY)
        if left is None or left["tries_before"] != self._tries_before:
            return None
        record = Probation.model_validate(left["record"])
        return record if record.promoted == of else None

    def keep(self, record: Probation) -> None:
        left = {"tries_before": self._tries_before, "record": record.model_dump(mode="json")}
        self._store.set(PROBATION_KEY, left)
