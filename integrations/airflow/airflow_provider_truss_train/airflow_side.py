"""What this package asks of Airflow: what has become of a task, whether it gets another try, and how to log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.sdk.definitions.retry_policy import RetryPolicy

    from truss_train_core import Event

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
"""States from which a task does not come back by itself."""

HEARD_WITHIN = 10.0
"""Seconds until the scheduler has heard that a process has ended whose task was deferred, or is to run again later.

A task that is back before that is taken for one that was killed, and fails (3.3.2; apache/airflow, issues 71580 and
72716). The end of a process is noticed within five seconds, the rest is for a scheduler that is busy.
"""


def task_state(ti: Any) -> str | None:
    """The state of a task instance as the server has it: "removed" where it is gone, None where it is to run again.

    A call of `on_kill` does not say why: a person marked the task, or cleared it, or it only moves to another process.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    of_run: dict[str, str | None] = states.get(ti.run_id, {})
    return next(iter(of_run.values()), "removed")


def set_xcom(ti: Any, key: str, value: Any) -> None:
    """Push an XCom of a task, from a trigger.

    The `xcoms` of a `TaskSuccessEvent` would do that as well, but arrive in other tasks as JSON text (seen in 3.3.2).
    """
    from airflow.sdk.execution_time.xcom import XCom

    XCom.set(key=key, value=value, **_address(ti))


def get_xcom(ti: Any, key: str) -> Any:
    """An XCom of a task, from a trigger; None where there is none."""
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_one(key=key, **_address(ti))


def _address(ti: Any) -> dict[str, Any]:
    return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}


def is_last_try(ti: Any) -> bool:
    """Whether a failure of this try is the end of the task."""
    return bool(ti.try_number > ti.max_tries)


def tries_before(ti: Any, retries: int) -> int:
    """How many tries there had been when the task was last cleared, 0 if it never was.

    Airflow then sets `max_tries` to that number plus `retries`. Two tries that differ in it have a clear between them.
    """
    return int(ti.max_tries) - retries


class Log(Protocol):
    """As much of a logger as is used: Airflow's own are no `logging.Logger`."""

    def info(self, event: str, *args: Any) -> Any: ...
    def warning(self, event: str, *args: Any) -> Any: ...


def teller(log: Log) -> Callable[[Event], None]:
    """A listener that writes what happens, and the lines of the job's log, into a log."""
    from truss_train_core import events

    def tell(event: Event) -> None:
        if isinstance(event, events.LogLines):
            for line in event.lines:
                log.info("%s", line.message.rstrip())
        elif words := events.sentence(event):
            to_be_heeded = isinstance(event, events.ApiOutage | events.Notice | events.TwinStopped)
            (log.warning if to_be_heeded else log.info)("%s", words)

    return tell


def fail_at_once(*more: str) -> RetryPolicy:
    """The retry policy of this package's operators: errors that another try would meet again end the task.

    That is a bad configuration, key or request, and a job that was stopped because its time or its budget was up. What
    a later call may not meet, such as an API that is away, is retried as the task says.

    Args:
        more: names of further errors of the core that end a task.
    """
    from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

    names = (
        "ConfigFileError", "DefinitionError", "PackageError", "RemoteError",
        "Unauthorized", "Forbidden", "Rejected", "NoUsableCheckpoint", "WaitTimeout", "BudgetSpent", *more,
    )  # fmt: skip
    specs = [f"truss_train_core.errors.{name}" for name in names]
    reason = "Another try would fail in the same way."
    return ExceptionRetryPolicy(
        rules=[RetryRule(exception=[*specs, "pydantic.ValidationError"], action=RetryAction.FAIL, reason=reason)]
    )
