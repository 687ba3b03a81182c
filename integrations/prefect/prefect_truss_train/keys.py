"""Which run a job belongs to: names of jobs carry a key that follows from the flow run's id alone.

A job is named `<what a person calls it>-<key>-<attempt>`, and a key is ten characters for the flow run followed by six
for the inputs, which tell the jobs of one flow run apart. The flow run that counts is the outermost one: when a parent
is retried, Prefect may give its subflow a new run, and that has to take up the same jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext, TaskRunContext

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def flow_run_key(flow_run_id: UUID | str) -> str:
    """The part of a key that stands for an outermost flow run."""
    from truss_train_core import jobs

    return jobs.run_key("prefect", flow_run_id)


def run_key(*inputs: object) -> str:
    """The key of a run of these inputs, within the current flow run.

    In a task run outside of flows, that takes the flow run's place. Elsewhere every call has a key of its own.
    """
    from truss_train_core import jobs

    return flow_run_key(current_run_id() or uuid4()) + jobs.run_key(*inputs)[:6]


def current_run_id() -> UUID | None:
    """The outermost flow run of the code that runs, or its task run where there is no flow."""
    flow = FlowRunContext.get()
    if flow and flow.flow_run:
        return _outermost(flow.flow_run.id, flow.flow_run)
    task = TaskRunContext.get()
    if task is None:
        return None
    return _outermost(task.task_run.flow_run_id) if task.task_run.flow_run_id else task.task_run.id


def outermost(flow_run: FlowRun) -> UUID:
    """The flow run that a flow run is a part of: itself, if it is no subflow."""
    return _outermost(flow_run.id, flow_run)


def _outermost(flow_run_id: UUID, known: FlowRun | None = None) -> UUID:
    if known and known.parent_task_run_id is None:
        return flow_run_id
    with get_client(sync_client=True) as client:
        return _climb(client, known or client.read_flow_run(flow_run_id))


def _climb(client: SyncPrefectClient, flow_run: FlowRun) -> UUID:
    while flow_run.parent_task_run_id:
        parent = client.read_task_run(flow_run.parent_task_run_id)
        if parent.flow_run_id is None:
            break
        flow_run = client.read_flow_run(parent.flow_run_id)
    return flow_run.id
