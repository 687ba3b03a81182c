"""What the page shows of a task's run.

The record is what the task returned, or keeps in its task state; the choice is what a `ChooseCheckpointOperator` of the
same DAG run returned. Status, checkpoints and curve come from the API, through the task's own connection; where it does
not answer, the page shows what the record knows, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.connection import Connection
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, remote_of
from airflow_provider_truss_train.task_run import STATE_KEY
from truss_train_core import Client, Retry, RunRecord, checkpoints, curves, runs
from truss_train_core.errors import TrussTrainError
from truss_train_core.events import plain_status

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from truss_train_core import Remote
    from truss_train_core.checkpoints import Candidate
    from truss_train_core.curves import Curve, Measured
    from truss_train_core.jobs import TrainingJob

PATIENCE = Retry(deadline=5.0)
"""A person waits for the page."""
CHOOSES = "ChooseCheckpointOperator"
METRICS = 6
"""Columns of metrics at most."""


@dataclass(frozen=True)
class TaskId:
    """A task of a DAG run. `map_index` is -1 where it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


@dataclass(frozen=True)
class Choice:
    """A chosen checkpoint, and why it was chosen."""

    job_id: str
    checkpoint: str
    step: float | None
    reason: str


@dataclass(frozen=True)
class Kept:
    """What Airflow's database has of a task's run. `price` is what its task was told that a node costs, or None."""

    record: RunRecord
    connection: str
    price: runs.NodePrice | None
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class AttemptRow:
    """A line of the table of attempts; `page` is the job's, or None; `took` has the columns of `Shown.took`."""

    number: int
    job: str
    page: str | None
    status: str
    created: datetime | None
    started_from: str
    message: str | None
    took: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckpointRow:
    """A line of the table of checkpoints; `values` are its metrics in the order of the columns."""

    name: str
    attempt: int
    size_bytes: int
    values: tuple[float | None, ...]
    chosen: bool
    rejected: str | None


@dataclass(frozen=True)
class Shown:
    """The page of a run.

    Attributes:
        took: what all attempts took, by the heads of the columns: time in the queue, running and lost, and the cost.
        problem: why something is missing from it, or None.
    """

    record: RunRecord
    attempts: Sequence[AttemptRow]
    took: Mapping[str, str] = field(default_factory=dict)
    picture: str | None = None
    metrics: Sequence[str] = ()
    checkpoints: Sequence[CheckpointRow] = ()
    reason: str | None = None
    problem: str | None = None


def shown(task: TaskId) -> Shown | None:
    """The page of a task's run; None where the task has none (yet)."""
    with create_session() as session:
        kept = _kept(session, task)
    if kept is None:
        return None
    try:
        remote = remote_of(Connection.get_connection_from_secrets(kept.connection))
        return _with_the_api(kept, remote)
    except AirflowNotFoundException:
        problem = f"The API server knows no connection “{kept.connection}”, so there is only what the task has kept."
    except TrussTrainError as error:
        problem = f"There is only what the task has kept: {error.message}"
    return Shown(kept.record, _attempts(kept.record, [], None), problem=problem)


# ---------------------------------------------------------------- from Airflow's database


def _kept(session: Session, task: TaskId) -> Kept | None:
    record = _returned(session, task) or _in_task_state(session, task)
    if record is None:
        return None
    return Kept(record, connection_of(session, task), _price(session, task), tuple(_choices(session, task)))


def _returned(session: Session, task: TaskId) -> RunRecord | None:
    """The record that the task returned. A clear removes it."""
    query = XComModel.get_many(
        run_id=task.run_id, dag_ids=task.dag_id, task_ids=task.task_id, map_indexes=task.map_index, key="return_value"
    )
    value = session.scalars(query).first()
    return _record(XComModel.deserialize_value(value)) if value else None


def _in_task_state(session: Session, task: TaskId) -> RunRecord | None:
    value = session.scalar(select(TaskStateStoreModel.value).where(*_of(TaskStateStoreModel, task), _has_key()))
    return _record(json.loads(value)["record"]) if value else None


def _has_key() -> Any:
    return TaskStateStoreModel.key == STATE_KEY


def _record(value: Any) -> RunRecord | None:
    """The record that a value is; None for what tasks of other kinds return."""
    try:
        return RunRecord.model_validate(value)
    except ValueError:
        return None


def connection_of(session: Session, task: TaskId) -> str:
    """The id of the task's connection, as it was rendered."""
    return str(_rendered(session, task).get("baseten_conn_id") or DEFAULT_CONNECTION)


def _price(session: Session, task: TaskId) -> runs.NodePrice | None:
    fields = _rendered(session, task)
    try:
        return runs.NodePrice.model_validate({"dedicated": fields["price"], "spot": fields["spot_price"]})
    except (KeyError, ValueError):
        return None


def _rendered(session: Session, task: TaskId) -> Mapping[str, Any]:
    """The task's arguments as they were rendered."""
    where = _of(RenderedTaskInstanceFields, task)
    return session.scalar(select(RenderedTaskInstanceFields.rendered_fields).where(*where)) or {}


def _choices(session: Session, task: TaskId) -> list[Choice]:
    """What was chosen in this DAG run."""
    chooses = select(TaskInstance.task_id).where(
        TaskInstance.dag_id == task.dag_id, TaskInstance.run_id == task.run_id, TaskInstance.operator == CHOOSES
    )
    names = list(session.scalars(chooses.distinct()))
    if not names:
        return []
    query = XComModel.get_many(run_id=task.run_id, dag_ids=task.dag_id, task_ids=names, key="return_value")
    values = [XComModel.deserialize_value(each) for each in session.scalars(query)]
    return [
        Choice(value["checkpoint"]["training_job_id"], value["checkpoint"]["checkpoint_id"], *_why(value))
        for value in values
    ]


def _why(value: Mapping[str, Any]) -> tuple[float | None, str]:
    return value.get("step"), str(value.get("reason", ""))


def _of(model: Any, task: TaskId) -> tuple[Any, ...]:
    return (
        model.dag_id == task.dag_id,
        model.run_id == task.run_id,
        model.task_id == task.task_id,
        model.map_index == task.map_index,
    )


# ---------------------------------------------------------------- from the API


def _with_the_api(kept: Kept, remote: Remote) -> Shown:
    with Client(remote, retry=PATIENCE) as client:
        jobs = client.run(runs.jobs_of(kept.record))
        measured = client.run(curves.measured(kept.record, jobs))
        candidates = client.run(checkpoints.candidates(jobs))
        report = client.run(runs.report(kept.record, kept.price))
    joined = curves.joined(measured)
    numbers = {job.id: number for number, job in enumerate(jobs, 1)}
    choice = next((each for each in kept.choices if each.job_id in numbers), None)
    metrics = _columns(joined, candidates)
    return Shown(
        kept.record,
        _attempts(kept.record, jobs, remote, report),
        took=_took(report.rows()[-1]),
        picture=_picture(joined, measured, choice),
        metrics=metrics,
        checkpoints=[_row(each, numbers, metrics, choice) for each in candidates],
        reason=choice.reason if choice else None,
    )


def _attempts(
    record: RunRecord, jobs: Sequence[TrainingJob], remote: Remote | None, report: runs.Report | None = None
) -> list[AttemptRow]:
    """A line for each attempt: what the record tells of it, and its job as it is now."""
    by_name = {job.name: job for job in jobs}
    took = {row["job"]: _took(row) for row in report.rows()} if report else {}
    return [_attempt(each, by_name.get(each.job_name), remote, took.get(each.job_name, {})) for each in record.attempts]


def _took(row: Mapping[str, str]) -> Mapping[str, str]:
    """Of a row of the report, what the page does not show otherwise."""
    return {head: value for head, value in row.items() if head not in ("attempt", "job", "ended", "from")}


def _attempt(
    attempt: runs.Attempt, job: TrainingJob | None, remote: Remote | None, took: Mapping[str, str]
) -> AttemptRow:
    status = plain_status(job.current_status if job else attempt.status or "not submitted yet")
    return AttemptRow(
        number=attempt.number,
        job=attempt.job_name,
        page=remote.job_page(job.training_project_id, job.id) if job and remote else None,
        status=attempt.cause if attempt.cause in ("preempted", "stopped early") else status,
        created=job.created_at if job else None,
        started_from=attempt.started_from.name if attempt.started_from else "the start",
        message=attempt.message,
        took=took,
    )


def _picture(joined: Mapping[str, Curve], measured: Sequence[Measured], choice: Choice | None) -> str | None:
    step = choice.step if choice else None
    return curves.loss_curve(joined, resumed=curves.resumed_at(measured), chosen=step)


def _columns(joined: Mapping[str, Curve], candidates: Sequence[Candidate]) -> list[str]:
    """The metrics that checkpoints have and that say how good they are, losses first."""
    names = {name for each in candidates for name in each.metrics} & joined.keys()
    return sorted(names, key=lambda name: ("loss" not in name, name))[:METRICS]


def _row(
    candidate: Candidate, numbers: Mapping[str, int], metrics: Sequence[str], choice: Choice | None
) -> CheckpointRow:
    checkpoint = candidate.checkpoint
    return CheckpointRow(
        name=checkpoint.checkpoint_id,
        attempt=numbers[checkpoint.training_job_id],
        size_bytes=checkpoint.size_bytes,
        values=tuple(candidate.metrics.get(name) for name in metrics),
        chosen=choice is not None
        and (choice.job_id, choice.checkpoint) == (checkpoint.training_job_id, checkpoint.checkpoint_id),
        rejected=candidate.rejected,
    )
