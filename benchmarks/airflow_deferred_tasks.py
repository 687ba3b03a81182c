"""What waiting costs a triggerer: many deferred tasks of this provider, beside as many that each ask for themselves.

A real triggerer with its metadata in PostgreSQL, or SQLite where that is not installed, and a local platform at which
no job fits, so that all wait in its queue. A proxy between the two knows the calls. Workers would take many minutes
to bring hundreds of tasks here, so the tasks are written into the database as workers leave them: deferred, each with
its trigger. Processor time and memory are those of the triggerer's two processes.

Run it in the provider's environment: .venv-airflow/bin/python benchmarks/airflow_deferred_tasks.py
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integrations" / "airflow" / "tests" / "support"))

from postgres import metadata_database  # noqa: E402
from standalone import demo, eventually  # noqa: E402

from truss_train_core import Client, Flow, jobs, load_training_project  # noqa: E402
from truss_train_core.definitions import TrainingProject  # noqa: E402
from truss_train_core.pushing import push_flow  # noqa: E402
from truss_train_core.testing import FaultProxy, LocalPlatform  # noqa: E402

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

CONFIG = HERE.parent / "tests" / "cli" / "quick" / "config.py"
INTERVAL = 10.0
"""Seconds between two looks of a task that asks for itself. Ours look every two seconds at first, and at length every
thirty, at an answer that is at most two seconds old."""
SETTLES_IN = 10.0
"""Seconds between the first look of the last task and the measurement."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=500)
    options.add_argument("--seconds", type=float, default=120.0, help="how long to measure")
    tasks, seconds = vars(options.parse_args()).values()
    with world() as (proxy, client):
        waiting = submitted(client, tasks)
        print(f"{'':<24}{'calls a minute':>16}{'processor':>12}{'memory':>10}", flush=True)
        for name, kind, count in (("one_asks", asking, 1), ("asking", asking, tasks), ("sharing", sharing, tasks)):
            defer(name, [kind(job) for job in waiting[:count]])
            goal = looks(proxy) + count
            with triggerer() as process:
                eventually("a look at each", lambda goal=goal: looks(proxy) >= goal)  # type: ignore[misc]
                show(f"{count} tasks: {name}", measured(process, proxy, seconds))


@contextmanager
def world() -> Iterator[tuple[FaultProxy, Client]]:
    """The settings and the database of an Airflow, in the environment; what it calls; and a client of our own."""
    with (
        tempfile.TemporaryDirectory(prefix="airflow-bench-") as home,
        LocalPlatform.started(Path(home, "platform"), capacity={"CPU": 0}) as platform,
        FaultProxy.started(platform.remote) as proxy,
        metadata_database() as database,
        Client(platform.remote) as client,
    ):
        os.environ.update(
            database,
            AIRFLOW_HOME=home,
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
            AIRFLOW_CONN_BASETEN_DEFAULT=demo.connection(proxy.remote),
            PYTHONPATH=os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        )
        Path(home, "dags").mkdir()
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
        yield proxy, client


def submitted(client: Client, count: int) -> list[jobs.TrainingJob]:
    """So many jobs, which wait in the queue, each of a name of its own, as those of tasks are."""
    project = load_training_project(CONFIG)
    return [client.run(submission(project, number)).job for number in range(count)]


def submission(project: TrainingProject, number: int) -> Flow[jobs.Submitted]:
    name = jobs.job_name(project.job.name, jobs.run_key("benchmark", number), 1)
    job = project.job.model_copy(update={"name": name})
    return push_flow(project.model_copy(update={"job": job}), CONFIG.parent)


def asking(job: jobs.TrainingJob) -> BaseTrigger:
    from asking_trigger import AskingTrigger

    return AskingTrigger(job.training_project_id, job.id, INTERVAL)


def sharing(job: jobs.TrainingJob) -> BaseTrigger:
    """What a `TrainingJobOperator` waits with."""
    from airflow_provider_truss_train.attending import Attendance
    from airflow_provider_truss_train.triggers import TrainingRunTrigger

    attendance = Attendance(project_id=job.training_project_id, job_id=job.id).as_dict()
    return TrainingRunTrigger(
        baseten_conn_id="baseten_default", ends_task=True, attendance=attendance, stop_on_clear=False, completed={}
    )


def defer(dag_id: str, triggers: Sequence[BaseTrigger]) -> None:
    """Make a DAG run with a mapped task for each trigger, deferred to it; there are no other triggers then."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.trigger import Trigger
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from dag_runs import register
    from sqlalchemy import delete

    with DAG(dag_id, schedule=None) as dag:
        BashOperator.partial(task_id="wait").expand(bash_command=["true"] * len(triggers))
    dag.fileloc = __file__
    register(dag)
    with create_session() as session:
        run = trigger_dag(dag_id, triggered_by=DagRunTriggeredByType.TEST, session=session)
        session.execute(delete(Trigger))
        rows = [Trigger.from_object(trigger) for trigger in triggers]
        session.add_all(rows)
        session.flush()
        for task, row in zip(run.get_task_instances(session=session), rows, strict=True):
            task.state, task.trigger_id = "deferred", row.id


@contextmanager
def triggerer() -> Iterator[psutil.Process]:
    """A triggerer that runs."""
    with Path(os.environ["AIRFLOW_HOME"], "triggerer.log").open("ab") as log:
        command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
        environment = {**os.environ, "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO"}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield psutil.Process(process.pid)
    finally:
        demo.end(process)


@dataclass(frozen=True)
class Cost:
    """What a triggerer did in some seconds: its processor time in seconds, its memory in bytes, its calls."""

    seconds: float
    processor: float
    memory: int
    calls: Counter[str]


def measured(process: psutil.Process, proxy: FaultProxy, seconds: float) -> Cost:
    time.sleep(SETTLES_IN)
    calls, processor, began = len(proxy.calls), processor_time(process), time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - began
    memory = sum(each.memory_full_info().pss for each in family(process))
    return Cost(elapsed, processor_time(process) - processor, memory, counted(proxy.calls[calls:]))


def family(process: psutil.Process) -> list[psutil.Process]:
    """The triggerer, which minds the database, and the process of its event loop."""
    return [process, *process.children(recursive=True)]


def processor_time(process: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in family(process))


def counted(calls: Sequence[str]) -> Counter[str]:
    """Calls, ids left out."""
    return Counter(re.sub(r"(/training_projects/|/jobs/)[^/?]+", r"\1*", call) for call in calls)


def looks(proxy: FaultProxy) -> int:
    """How often a single job was asked for."""
    return counted(proxy.calls)["GET /v1/training_projects/*/jobs/*"]


def show(what: str, cost: Cost) -> None:
    per_minute = 60 / cost.seconds
    print(
        f"{what:<24}{cost.calls.total() * per_minute:>16.0f}"
        f"{cost.processor / cost.seconds:>12.1%}{cost.memory / 2**20:>7.0f} MB",
        flush=True,
    )
    for call, count in cost.calls.most_common():
        print(f"{count * per_minute:>40.0f} {call}", flush=True)


if __name__ == "__main__":
    main()
