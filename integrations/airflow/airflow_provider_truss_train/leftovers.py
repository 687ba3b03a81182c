"""Stopping what a DAG run leaves behind.

Some ends of a task reach none of its code: the last try's worker is killed by SIGKILL or for want of memory; a person
marks the task in the moment between its deferral and the triggerer's taking it up; a cleared task never runs again,
since a task before it fails. Its job would run to its own end, and nobody waits for it. What sees all of them is the
end of the DAG run, of which Airflow tells a DAG's callbacks in the DAG processor. So every DAG with a training gets
one, through Airflow's cluster policies: this module is the entry point `airflow.policy`.

It is loaded with Airflow's settings by every process, so it is light.
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.policies import hookimpl

if TYPE_CHECKING:
    from airflow.sdk import DAG

log = logging.getLogger(__name__)
_TRAINING = "airflow_provider_truss_train.operators.train"
CLEARS = 100
"""Of one task, for how many clears its jobs are looked for: each may have begun a run of its own."""


@hookimpl
def dag_policy(dag: DAG) -> None:
    """Let a DAG that trains stop, at the end of each of its runs, what none of its tasks waits for."""
    if any(_trainings(dag)):
        dag.on_failure_callback = _with_ours(dag.on_failure_callback)
        dag.on_success_callback = _with_ours(dag.on_success_callback)
        dag.has_on_failure_callback = dag.has_on_success_callback = True


def stop_leftovers(context: Mapping[str, Any]) -> None:
    """Stop the active jobs of a DAG run's tasks that have ended; a callback of the DAG.

    A task that was cleared meanwhile has not ended, and takes its job up again.

    Raises:
        TrussTrainError: the jobs could not be looked for, or one not be stopped. The others are.
    """
    from airflow_provider_truss_train.hooks import BasetenHook

    run_id = context.get("run_id") or context["dag_run"].run_id
    of_connection: dict[str, set[str]] = defaultdict(set)
    for task in _trainings(context["dag"]):
        connection = task.partial_kwargs.get("baseten_conn_id") if task.is_mapped else task.baseten_conn_id
        of_connection[connection or BasetenHook.default_conn_name] |= set(_keys_of_ended(task, run_id))
    for connection, keys in of_connection.items():
        if keys:
            _stop(BasetenHook(connection), keys)


def _stop(hook: Any, keys: Iterable[str]) -> None:
    from airflow_provider_truss_train.airflow_side import teller
    from truss_train_core import jobs
    from truss_train_core.errors import TrussTrainError

    failed: TrussTrainError | None = None
    with hook.client() as client:
        for job in client.run(jobs.find_active(*keys)):
            log.warning("%s is stopped: its DAG run has ended, and no task waits for it.", jobs.describe(job))
            try:
                client.run(jobs.stop(job), on_event=teller(log))
            except TrussTrainError as error:
                log.error("%s could not be stopped, and costs money: %s", jobs.describe(job), error)
                failed = error
    if failed:
        raise failed


def _keys_of_ended(task: Any, run_id: str) -> Iterator[str]:
    """What the names of the jobs carry that belong to tasks which have ended."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    from airflow_provider_truss_train.airflow_side import ENDED
    from truss_train_core import jobs

    states = RuntimeTaskInstance.get_task_states(dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[run_id])
    for name, state in states.get(run_id, {}).items():
        if state in ENDED:
            map_index = name.removeprefix(task.task_id).lstrip("_") or -1
            identity = (task.dag_id, run_id, task.task_id, map_index)
            yield jobs.run_key(*identity)
            yield from (jobs.run_key(*identity, tries) for tries in range(1, CLEARS))


def _trainings(dag: DAG) -> Iterator[Any]:
    """The tasks of a DAG that train, and wait for it."""
    module = sys.modules.get(_TRAINING)
    if module is None:  # then no DAG file has used it
        return
    for task in dag.tasks:
        kind = task.operator_class if task.is_mapped else type(task)
        if isinstance(kind, type) and issubclass(kind, module.TrainingJobOperator):
            yield task


def _with_ours(callbacks: Any) -> list[Any]:
    own = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
    return [*own, stop_leftovers]
