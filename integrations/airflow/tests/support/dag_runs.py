"""Running a DAG in this process, and looking at what came of it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import select

from truss_train_core import Client, Limits
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.jobs import TrainingJob, find_project, run_key, wait

QUICK = Path(__file__).resolve().parents[4] / "tests" / "cli" / "quick" / "config.py"
"""A training of two seconds. STEP_SECONDS, FAIL_AT and FAIL_ONCE_AT say otherwise."""

PIPELINES = Path(__file__).resolve().parents[4] / "dags" / "airflow"

numbers = itertools.count(1)


def dag(build: Callable[[], Any], *, name: str = "pipeline") -> DAG:
    """A DAG of a name of its own, with the tasks that `build` makes."""
    with DAG(f"{name}_{next(numbers)}", schedule=None) as made:
        build()
    made.fileloc = __file__
    return made


def pipeline_of(name: str) -> DAG:
    """The DAG of dags/airflow of this name."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(PIPELINES / f"{name}.py")
    assert not bag.import_errors
    return bag.dags[name]


@dataclass(frozen=True)
class Ended:
    """A DAG run that has ended."""

    dag_id: str
    run_id: str

    @property
    def states(self) -> dict[str, str]:
        """The states of its tasks, by id."""
        return {ti.task_id: str(ti.state) for ti in self._task_instances()}

    @property
    def tries(self) -> dict[str, int]:
        """How often its tasks were tried, by id."""
        return {ti.task_id: ti.try_number for ti in self._task_instances()}

    def key(self, task_id: str) -> str:
        """The key of the run of a task."""
        return run_key(self.dag_id, self.run_id, task_id, -1)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task returned, or pushed otherwise."""
        with create_session() as session:
            given = XComModel.get_many(
                run_id=self.run_id, dag_ids=self.dag_id, task_ids=task_id, key=key, map_indexes=map_index
            )
            value = session.scalars(given).first()
            return XComModel.deserialize_value(value) if value else None

    def _task_instances(self) -> list[TaskInstance]:
        where = (TaskInstance.dag_id == self.dag_id, TaskInstance.run_id == self.run_id)
        with create_session() as session:
            return list(session.scalars(select(TaskInstance).where(*where)))


def run(made: DAG, *, fails: bool = False, **arguments: Any) -> Ended:
    """Run a DAG to its end, which has to be a success, or a failure where that is said."""
    register(made)
    dag_run = made.test(**arguments)
    ended = Ended(dag_run.dag_id, dag_run.run_id)
    assert dag_run.state == ("failed" if fails else "success"), ended.states
    return ended


def register(made: DAG) -> None:
    """Make a DAG known to the database, as the DAG processor does with those of files."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.bag_dag(made)
    sync_bag_to_db(bag, "dags-folder", None)


def jobs_named(client: Client, key: str, *, project: str = "quick") -> list[TrainingJob]:
    """The jobs of a project whose names carry a run's key, the oldest first."""
    listed = client.send(endpoints.list_jobs(client.run(find_project(project)).id)).training_jobs
    return sorted((job for job in listed if f"-{key}-" in (job.name or "")), key=lambda job: job.created_at)


def status_at_the_end(client: Client, job: TrainingJob) -> str:
    """How a job ended, once it has: a stop takes its time."""
    return client.run(wait(job, limits=Limits(timeout=60))).current_status.removeprefix("TRAINING_JOB_")
