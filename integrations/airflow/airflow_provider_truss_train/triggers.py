"""Waiting without a worker.

A trigger drives a flow of the core on the triggerer's event loop. All triggers of an account share one client, and with
it the connections and the answer to "which jobs are active?": however many tasks wait, that is one call per interval.
What they hear goes into the log of the waiting task.
"""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_truss_train.airflow_side import ENDED, HEARD_WITHIN, set_xcom, task_state, teller
from airflow_provider_truss_train.attending import Attendance, attend, stop
from airflow_provider_truss_train.facts import checkpoint_facts, deployment_facts, job_facts
from airflow_provider_truss_train.hooks import BasetenHook
from airflow_provider_truss_train.log_place import LogPlace

if TYPE_CHECKING:
    from truss_train_core import AsyncClient
    from truss_train_core.errors import TrussTrainError


class _Wait(BaseTrigger):
    """A wait in the core.

    It fires one event: the success of the task, with what the task returns; or, for a worker that is to go on, an error
    or what was waited for.

    Args:
        baseten_conn_id: id of the connection.
        ends_task: whether the task may end here, without a worker. Outlets, for one, are only told of by workers.
        arguments: what else Airflow has to store. JSON, and no secrets: they stand in its database.
    """

    def __init__(self, *, baseten_conn_id: str, ends_task: bool, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.hook = BasetenHook(baseten_conn_id)
        self.ends_task = ends_task
        self.arguments = arguments

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kind = type(self)
        own = {"baseten_conn_id": self.hook.baseten_conn_id, "ends_task": self.ends_task}
        return f"{kind.__module__}.{kind.__name__}", {**own, **self.arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from truss_train_core.errors import TrussTrainError

        heard_at = time.monotonic() + HEARD_WITHIN
        try:
            async with self.hook.async_client() as client:
                returned = await self.wait(client)
            event = TriggerEvent({"returned": returned})  # type: ignore[no-untyped-call]
            if self.ends_task and returned is not None and self.task_instance:  # there is none in dag.test()
                await sync_to_async(set_xcom)(self.task_instance, "return_value", returned)
                event = TaskSuccessEvent()
        except TrussTrainError as error:
            told = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
            event = TriggerEvent(told)  # type: ignore[no-untyped-call]
        if self.task_instance and not isinstance(event, TaskSuccessEvent):
            await asyncio.sleep(heard_at - time.monotonic())
        yield event

    @abc.abstractmethod
    async def wait(self, client: AsyncClient) -> dict[str, Any] | None:
        """Wait; returns what the task returns, or None where a worker has to go on."""


def error_of(event: Any) -> TrussTrainError | None:
    """The error that a wait ended with, to be raised by the worker; None where it ended well."""
    from truss_train_core import errors

    if not isinstance(event, dict) or "error" not in event:
        return None
    kind = getattr(errors, event["error"], errors.TrussTrainError)
    error: TrussTrainError = kind(event["message"], hint=event["hint"])
    return error


_STOPPING: set[asyncio.Task[None]] = set()
"""What goes on although nobody awaits it: an event loop does not keep its tasks alive."""


class TrainingRunTrigger(_Wait):
    """Waits for the job of a run; stops it when its time is up, and when the task has ended without it.

    Args:
        attendance: which job, and how to wait for it, as `Attendance.as_dict`.
        stop_on_clear: whether the job is stopped when the task was cleared and does not run again yet.
        completed: what the task returns if the job completes.
        common: as for all waits.
    """

    def __init__(
        self, *, attendance: dict[str, Any], stop_on_clear: bool, completed: dict[str, Any], **common: Any
    ) -> None:
        super().__init__(attendance=attendance, stop_on_clear=stop_on_clear, completed=completed, **common)
        self.attendance = Attendance(**attendance)
        self.stop_on_clear = stop_on_clear
        self.completed = completed

    async def wait(self, client: AsyncClient) -> dict[str, Any] | None:
        place = LogPlace(self.task_instance, self.attendance.job_id, self.log)
        cursor = await place.kept() if self.attendance.follow_logs else None
        job = await client.run(attend(self.attendance, cursor), on_event=place.hear)
        return self.completed if job.succeeded else None

    async def on_kill(self) -> None:
        """Stop the job if nobody waits for it any more.

        Airflow calls this when a person marks or clears the task and when its DAG run times out, but also when the
        trigger moves to another triggerer. Only the task's state tells these apart.

        It calls off what it has called every second, until that has ended (seen in 3.3.2). With many tasks, or an API
        that is slow, a stop takes longer: so it goes on by itself.
        """
        stopping = asyncio.create_task(self._stop_if_unwanted())
        _STOPPING.add(stopping)
        stopping.add_done_callback(_STOPPING.discard)
        await asyncio.shield(stopping)

    async def _stop_if_unwanted(self) -> None:
        state = await sync_to_async(task_state)(self.task_instance)
        said = state or "to run again"
        cleared = state not in (*ENDED, "deferred")
        job_id = self.attendance.job_id
        if state in ENDED or (cleared and self.stop_on_clear):
            self.log.info("The task is %s: job %s is stopped.", said, job_id)
            async with self.hook.async_client() as client:
                await client.run(stop(self.attendance.project_id, job_id), on_event=teller(self.log))
        else:
            self.log.info("The task is %s: job %s goes on.", said, job_id)


class TrainingJobTrigger(_Wait):
    """Waits for somebody else's job, and leaves it alone.

    Args:
        project_id, job_id: which.
        timeout: seconds to wait.
        common: as for all waits.
    """

    def __init__(self, *, project_id: str, job_id: str, timeout: float, **common: Any) -> None:
        super().__init__(project_id=project_id, job_id=job_id, timeout=timeout, **common)

    async def wait(self, client: AsyncClient) -> dict[str, Any] | None:
        from truss_train_core import Limits, jobs

        given = self.arguments
        limits = Limits(timeout=given["timeout"])
        job = await client.run(jobs.fetch(given["project_id"], given["job_id"], outage=limits.outage))
        ended = await client.run(jobs.wait(job, limits=limits), on_event=teller(self.log))
        return job_facts(jobs.expect_completed(ended))


class CheckpointTrigger(_Wait):
    """Waits for a complete checkpoint of a job.

    Args:
        project_id, job_id: whose checkpoint.
        step: at least.
        timeout: seconds to wait.
        common: as for all waits.
    """

    def __init__(self, *, project_id: str, job_id: str, step: int, timeout: float, **common: Any) -> None:
        super().__init__(project_id=project_id, job_id=job_id, step=step, timeout=timeout, **common)

    async def wait(self, client: AsyncClient) -> dict[str, Any] | None:
        from truss_train_core import Limits, checkpoints, jobs

        given = self.arguments
        limits = Limits(timeout=given["timeout"])
        job = await client.run(jobs.fetch(given["project_id"], given["job_id"], outage=limits.outage))
        found = checkpoints.wait_for(job, step=given["step"], limits=limits)
        return checkpoint_facts(await client.run(found, on_event=teller(self.log)))


class DeploymentTrigger(_Wait):
    """Waits until a deployment serves.

    Args:
        model_id, deployment_id: which.
        timeout: seconds to wait.
        common: as for all waits.
    """

    def __init__(self, *, model_id: str, deployment_id: str, timeout: float, **common: Any) -> None:
        super().__init__(model_id=model_id, deployment_id=deployment_id, timeout=timeout, **common)

    async def wait(self, client: AsyncClient) -> dict[str, Any] | None:
        from truss_train_core import Limits, deployments

        given = self.arguments
        limits = Limits(timeout=given["timeout"])
        deployment = await client.run(deployments.get(given["model_id"], given["deployment_id"], outage=limits.outage))
        serving = deployments.wait_until_serving(deployment, limits=limits)
        return deployment_facts(await client.run(serving, on_event=teller(self.log)))


class PromotionTrigger(_Wait):
    """Waits until an environment answers with a deployment whose promotion has begun; puts the former back otherwise.

    Args:
        promoted: the promotion, as `Promoted.model_dump`.
        timeout: seconds that the environment may take.
        common: as for all waits.
    """

    def __init__(self, *, promoted: dict[str, Any], timeout: float, **common: Any) -> None:
        super().__init__(promoted=promoted, timeout=timeout, **common)

    async def wait(self, client: AsyncClient) -> dict[str, Any] | None:
        from truss_train_core import Limits, deployments

        begun = deployments.Promoted.model_validate(self.arguments["promoted"])
        finish = deployments.finish_promotion(begun, limits=Limits(timeout=self.arguments["timeout"]))
        return (await client.run(finish, on_event=teller(self.log))).model_dump(mode="json")
