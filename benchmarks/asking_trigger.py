"""For airflow_deferred_tasks.py: a trigger of the usual kind, which asks for its own job, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_truss_train.hooks import BasetenHook, remote_of


class AskingTrigger(BaseTrigger):
    """Waits for a job with a client of its own; one call per look."""

    def __init__(self, project_id: str, job_id: str, interval: float) -> None:
        super().__init__()
        self.project_id = project_id
        self.job_id = job_id
        self.interval = interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {"project_id": self.project_id, "job_id": self.job_id, "interval": self.interval}
        return "asking_trigger.AskingTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from truss_train_core import AsyncClient
        from truss_train_core.api import endpoints

        hook = BasetenHook()
        connection = await hook.aget_connection(hook.baseten_conn_id)
        async with AsyncClient(remote_of(connection)) as client:
            while True:
                job = (await client.send(endpoints.get_job(self.project_id, self.job_id))).training_job
                if job.is_terminal:
                    yield TriggerEvent(job.current_status)
                    return
                await asyncio.sleep(self.interval)
