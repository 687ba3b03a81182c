"""What the page shows of a sweep: the table of its trials and their curves, as they are now.

Which sweep it is, the task that chose among its trials has left in an XCom; everything else comes from the API, through
the task's own connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow.models.connection import Connection
from airflow.models.xcom import XComModel
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.utils.session import create_session

from airflow_provider_truss_train.hooks import remote_of
from airflow_provider_truss_train.operators.choose_trial import SWEEP_KEY
from airflow_provider_truss_train.run_page.reading import PATIENCE, TaskId, connection_of
from truss_train_core import Client, sweeps
from truss_train_core.errors import TrussTrainError


@dataclass(frozen=True)
class Sweep:
    """The page of a sweep.

    Attributes:
        decision: why which checkpoint was chosen, or why none.
        rows: of the table, the best trial first, by column.
        picture: a curve for each trial, or None where too little was measured.
        problem: why there is nothing of this, or None.
    """

    decision: str = ""
    rows: Sequence[dict[str, str]] = ()
    picture: str | None = None
    problem: str | None = None


def swept(task: TaskId) -> Sweep | None:
    """The page of the sweep among whose trials a task chose; None for any other task."""
    with create_session() as session:
        query = XComModel.get_many(
            run_id=task.run_id, dag_ids=task.dag_id, task_ids=task.task_id, map_indexes=task.map_index, key=SWEEP_KEY
        )
        found = session.scalars(query).first()
        kept: Any = XComModel.deserialize_value(found) if found else None
        connection = connection_of(session, task)
    if kept is None:
        return None
    trials = [sweeps.Trial.model_validate(trial) for trial in kept["trials"]]
    try:
        remote = remote_of(Connection.get_connection_from_secrets(connection))
        with Client(remote, retry=PATIENCE) as client:
            results = client.run(sweeps.results(kept["project_id"], trials))
    except AirflowNotFoundException:
        return Sweep(problem=f"The API server knows no connection “{connection}”, so the trials cannot be shown.")
    except TrussTrainError as error:
        return Sweep(problem=f"The trials cannot be shown: {error.message}")
    return Sweep(sweeps.decision(results), sweeps.table(results), sweeps.picture(results))
