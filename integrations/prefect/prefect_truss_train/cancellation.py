"""A cancelled flow run stops its remote jobs; a crashed one leaves them to be taken up again.

Prefect tells the two apart only in hooks: inside a task, a cancel and a crash look the same. So remote jobs are stopped
by an `on_cancellation` hook, wherever that runs, in the flow's own process or in its runner's: it finds them by the
flow run's id alone. And a cancel that comes while no runner supervises the process is noticed by whoever waits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, overload
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.loggers import flow_run_logger, get_logger
from prefect.states import Cancelled

from prefect_truss_train import keys
from truss_train_core import Clock

F = TypeVar("F", bound=Flow[..., Any])

LOOK_INTERVAL = 5.0
"""Seconds between two looks at a flow run's state, by all of its waits together."""
LOOK_AGAIN = (0.0, 3.0, 7.0)
"""Seconds before each look for jobs of a cancelled run: a create that was under way may become visible late."""


class FlowRunCancelled(RuntimeError):
    """The flow run was cancelled while something was waited for. What was waited for may still run."""


# ---------------------------------------------------------------- noticing it


class AttentiveClock(Clock):
    """A clock whose pauses end with `FlowRunCancelled` once the flow run that pauses was cancelled."""

    def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            raise_if_cancelled()
            super().sleep(min(left, LOOK_INTERVAL))
        raise_if_cancelled()

    async def asleep(self, seconds: float) -> None:
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            await asyncio.to_thread(raise_if_cancelled)
            await super().asleep(min(left, LOOK_INTERVAL))
        await asyncio.to_thread(raise_if_cancelled)


def raise_if_cancelled() -> None:
    """Raise `FlowRunCancelled` if the current flow run was cancelled. Looks at most every `LOOK_INTERVAL` seconds."""
    flow_run_id = _current_flow_run_id()
    if flow_run_id and _lookout(flow_run_id).sees_cancel():
        raise FlowRunCancelled(f"Flow run {flow_run_id} was cancelled, so that nothing is waited for any more.")


class _Lookout:
    """Watches one flow run, for all threads of this process."""

    def __init__(self, flow_run_id: UUID) -> None:
        self._flow_run_id = flow_run_id
        self._lock = threading.Lock()
        self._next_look = time.monotonic() + LOOK_INTERVAL
        self._cancelled = False

    def sees_cancel(self) -> bool:
        with self._lock:
            if not self._cancelled and time.monotonic() >= self._next_look:
                self._cancelled = _is_cancelled(self._flow_run_id)
                self._next_look = time.monotonic() + LOOK_INTERVAL
            return self._cancelled


@lru_cache(maxsize=256)
def _lookout(flow_run_id: UUID) -> _Lookout:
    return _Lookout(flow_run_id)


def _is_cancelled(flow_run_id: UUID) -> bool:
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(flow_run_id).state
    except Exception:  # a wait does not end because Prefect's API is away for a while
        get_logger(__name__).debug("The state of flow run %s cannot be read.", flow_run_id, exc_info=True)
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _current_flow_run_id() -> UUID | None:
    flow = FlowRunContext.get()
    if flow and flow.flow_run:
        return flow.flow_run.id
    task = TaskRunContext.get()
    return task.task_run.flow_run_id if task else None


# ---------------------------------------------------------------- acting on it


@overload
def with_remote_cancellation(flow: F, *, credentials: str | None = None) -> F: ...
@overload
def with_remote_cancellation(*, credentials: str | None = None) -> Callable[[F], F]: ...
def with_remote_cancellation(flow: F | None = None, *, credentials: str | None = None) -> F | Callable[[F], F]:
    """Stop the flow run's remote jobs when it is cancelled. A decorator, or a function of a flow.

        @with_remote_cancellation(credentials="baseten")
        @flow
        def retrain(): ...

    A crashed flow run leaves its jobs running: retried, it takes them up again.

    Args:
        flow: the outermost flow; what its subflows submitted is stopped too.
        credentials: name of a `BasetenCredentials` block. None for the flow's own parameter `credentials`, if it has
            one, or else the default remote of the process in which the hook runs.
    """

    def stop_remote_jobs(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
        stop_jobs_of(flow_run, credentials or flow_run.parameters.get("credentials"))

    def add(flow: F) -> F:
        flow.on_cancellation(stop_remote_jobs)
        return flow

    return add if flow is None else add(flow)


def stop_jobs_of(flow_run: FlowRun, credentials: str | None = None) -> None:
    """Stop every job that this flow run, or a flow run within it, submitted; then call it cancelled.

    Without a runner nobody else does the latter: Prefect leaves such a flow run cancelling.
    """
    from prefect_truss_train.credentials import client_for, remote_of
    from truss_train_core import jobs

    logger = flow_run_logger(flow_run)
    key = keys.flow_run_key(keys.outermost(flow_run))
    client = client_for(remote_of(credentials))
    stopped: set[str] = set()
    for seconds in LOOK_AGAIN:
        time.sleep(seconds)
        for job in client.run(jobs.find_active(key)):
            if job.id not in stopped:
                client.run(jobs.stop(job))
                stopped.add(job.id)
                logger.info("Stopped %s: its flow run was cancelled.", jobs.describe(job))
    with get_client(sync_client=True) as prefect:
        current = prefect.read_flow_run(flow_run.id).state
        if current and current.is_cancelling():
            prefect.set_flow_run_state(flow_run.id, Cancelled(message="Its remote jobs are stopped."), force=True)
