"""Many mapped tasks that wait for jobs in the queue: with the provider's trigger, and with one that asks for itself.

See ../airflow_deferred_tasks.py.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_truss_train.hooks import BasetenHook, remote_of
from airflow_provider_truss_train.operators import TrainingJobOperator

CONFIG = Path(__file__).parents[2] / "tests" / "cli" / "quick" / "config.py"
JOBS: list[dict[str, str]] = json.loads(os.environ["BENCHMARK_JOBS"])
INTERVAL = float(os.environ["BENCHMARK_INTERVAL"])


class AskingTrigger(BaseTrigger):
    """Asks for one job, again and again, with a client of its own, as the triggers of other providers do."""

    def __init__(self, project_id: str, job_id: str, interval: float) -> None:
        super().__init__()
        self.arguments = {"project_id": project_id, "job_id": job_id, "interval": interval}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "deferred_tasks.AskingTrigger", self.arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from truss_train_core import AsyncClient
        from truss_train_core.api import endpoints

        hook = BasetenHook()
        connection = await hook.aget_connection(hook.baseten_conn_id)
        async with AsyncClient(remote_of(connection)) as client:
            while True:
                request = endpoints.get_job(self.arguments["project_id"], self.arguments["job_id"])
                job = (await client.send(request)).training_job
                if job.is_terminal:
                    yield TriggerEvent(job.current_status)
                    return
                await asyncio.sleep(self.arguments["interval"])


class AskingOperator(BaseOperator):
    """Defers to an `AskingTrigger` for a job that is there."""

    def __init__(self, *, job: dict[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute(self, context: Any) -> None:
        self.defer(trigger=AskingTrigger(**self.job, interval=INTERVAL), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> Any:
        return event


with DAG("sharing", schedule=None):
    numbers = [{"NUMBER": str(number)} for number in range(len(JOBS))]
    TrainingJobOperator.partial(task_id="train", config=CONFIG).expand(environment_variables=numbers)

with DAG("asking", schedule=None):
    AskingOperator.partial(task_id="train").expand(job=JOBS)
