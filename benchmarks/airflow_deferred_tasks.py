"""What waiting costs a triggerer: many deferred tasks of this provider, beside as many that each ask for themselves.

A real Airflow, with PostgreSQL where that is installed, and a local platform at which nothing fits, so that all jobs
wait in its queue. A proxy between the two counts the calls. For each kind, all tasks are brought to "deferred"; then
the calls, and the processor time and the memory of the triggerer, are taken over a while. The triggerer is started
anew in between.

Run it in the provider's environment: .venv-airflow/bin/python benchmarks/airflow_deferred_tasks.py
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integrations" / "airflow" / "tests" / "support"))

from postgres import metadata_database  # noqa: E402
from standalone import Run, Standalone, eventually  # noqa: E402

from truss_train_core import Client, jobs, load_training_project, push  # noqa: E402
from truss_train_core.api import endpoints  # noqa: E402
from truss_train_core.testing import FaultProxy, LocalPlatform  # noqa: E402

INTERVAL = 10.0
"""Seconds between two looks of a task that asks for itself. One of ours looks every two to ten seconds meanwhile."""
DEFERRED_WITHIN = 1800.0
"""Seconds that Airflow may take to bring all tasks to "deferred"."""
SETTLES_IN = 10.0
KILLED_WITHIN = 60.0
LOOK = "GET /v1/training_projects/*/jobs/*"
DAGS = HERE / "airflow_dags"
CONFIG = HERE.parent / "tests" / "cli" / "quick" / "config.py"


@dataclass(frozen=True)
class Cost:
    """What a triggerer did in some seconds."""

    seconds: float
    processor: float
    memory: int
    calls: Counter[str]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=500)
    options.add_argument("--seconds", type=float, default=120.0, help="how long to measure")
    tasks, seconds = vars(options.parse_args()).values()
    with world(tasks) as (airflow, proxy, client):
        print(f"\n{'':<26}{'calls/min':>10}{'processor':>11}{'memory':>9}", flush=True)
        show("no task", measured(airflow, proxy, seconds))
        for dag_id in ("sharing", "asking"):
            before, began = counted(proxy)[LOOK], time.monotonic()
            run = airflow.start(dag_id)
            eventually("all deferred", lambda run=run: deferred(run) == tasks, DEFERRED_WITHIN)  # type: ignore[misc]
            eventually("all looked at", lambda before=before: counted(proxy)[LOOK] - before >= tasks)  # type: ignore[misc]
            deferred_after = time.monotonic() - began
            show(f"{tasks} tasks, {dag_id}", measured(airflow, proxy, seconds))
            print(
                f"  deferred after {deferred_after:.0f} s; marked as failed, they left {left_running(client, run)} jobs"
            )
            airflow.restart("triggerer")


@contextmanager
def world(tasks: int) -> Iterator[tuple[Standalone, FaultProxy, Client]]:
    """An Airflow, the calls that it makes of a platform at which every job waits, and a client of our own for that."""
    with (
        tempfile.TemporaryDirectory(prefix="airflow-bench-") as home,
        LocalPlatform.started(Path(home, "platform"), capacity={"CPU": 0}) as platform,
        Client(platform.remote) as client,
        FaultProxy.started(platform.remote) as proxy,
        metadata_database() as database,
    ):
        settings = {
            "BENCHMARK_JOBS": json.dumps(submitted(client, tasks)),
            "BENCHMARK_INTERVAL": str(INTERVAL),
            "PYTHONPATH": str(DAGS),
        }
        with Standalone.started(Path(home), proxy.remote, DAGS, **settings, **database) as airflow:
            yield airflow, proxy, client


def submitted(client: Client, count: int) -> list[dict[str, str]]:
    """The ids of jobs of a project of their own."""
    project = load_training_project(CONFIG).model_copy(update={"name": "asking"})
    first = client.run(jobs.find(push(project, client.remote, source_dir=CONFIG.parent)["id"]))
    again = endpoints.recreate_job(first.training_project_id, first.id)
    all_of_them = [first, *(client.send(again).training_job for _ in range(count - 1))]
    return [{"project_id": job.training_project_id, "job_id": job.id} for job in all_of_them]


def measured(airflow: Standalone, proxy: FaultProxy, seconds: float) -> Cost:
    """What the triggerer does in so many seconds."""
    time.sleep(SETTLES_IN)
    calls_before, processor_before, began = counted(proxy), processor(airflow), time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - began
    memory = sum(process.memory_full_info().pss for process in triggerer(airflow))
    return Cost(elapsed, processor(airflow) - processor_before, memory, counted(proxy) - calls_before)


def counted(proxy: FaultProxy) -> Counter[str]:
    """The calls so far, ids left out."""
    return Counter(re.sub(r"(/training_projects/|/jobs/)[^/?]+", r"\1*", call) for call in list(proxy.calls))


def triggerer(airflow: Standalone) -> list[psutil.Process]:
    """The supervisor, and the process of the event loop."""
    return [process for process in airflow.processes() if process.cmdline()[-1:] == ["triggerer"]]


def processor(airflow: Standalone) -> float:
    """Seconds of processor time that the triggerer has used."""
    return sum(sum(process.cpu_times()[:2]) for process in triggerer(airflow))


def deferred(run: Run) -> int:
    """How many of its tasks are."""
    count: int = run.get("/taskInstances?state=deferred&limit=1")["total_entries"]
    return count


def left_running(client: Client, run: Run) -> int:
    """Mark the DAG run as failed; how many of the jobs that its tasks submitted go on a minute later."""
    run.mark_run("failed")
    time.sleep(KILLED_WITHIN)
    project = client.run(jobs.find_project("quick"))
    return len(client.send(endpoints.active_jobs(project.id)).training_jobs)


def show(what: str, cost: Cost) -> None:
    per_minute = 60 / cost.seconds
    print(
        f"{what:<26}{cost.calls.total() * per_minute:>10.0f}"
        f"{cost.processor / cost.seconds:>11.1%}{cost.memory / 2**20:>6.0f} MB",
        flush=True,
    )
    for call, count in cost.calls.most_common():
        print(f"  {count * per_minute:>8.1f}  {call}", flush=True)


if __name__ == "__main__":
    main()
