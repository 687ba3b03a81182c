"""All pipelines of dags/ on both engines, for real, with what each is there for: data that arrive, a person, a reclaim.

Each engine has one server and one local platform below .demo/pipelines, and runs its pipelines one after the other,
while the other engine does the same. In the end there is a table, and nothing runs any more. To add a pipeline, add it
to PIPELINES.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from truss_train_core import Client, checkpoints
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo" / "pipelines"
ENGINES = ("airflow", "prefect")
ENDS_WITHIN = 300.0
"""Seconds that one pipeline may take."""
LOOK_INTERVAL = 0.5


@dataclass(frozen=True)
class Pipeline:
    """A pipeline, how it is run here, and what has to come of it.

    Attributes:
        name: of the file in dags/airflow and dags/prefect, and of the DAG.
        flow: name of Prefect's flow in its file.
        parameters: of the DAG and of the flow, so that it is quick.
        meanwhile: what happens while it runs.
        started_by_data: whether a new version of a dataset starts it, rather than a person.
        jobs, attempts: how many there are in the end; attempts count those that were preempted, too.
        deploys: whether a deployment comes of it.
    """

    name: str
    flow: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    meanwhile: Callable[[LocalPlatform], AbstractContextManager[object]] = nullcontext
    started_by_data: bool = False
    jobs: int = 1
    attempts: int = 1
    deploys: bool = True


PIPELINES = (
    Pipeline("new_dataset", "fine_tune", started_by_data=True),
    Pipeline(
        "sweep",
        "sweep",
        {"samples": 3, "first_rung": 1, "epochs": 3, "space": {"LEARNING_RATE": [0.001, 0.02, 0.1], "HIDDEN": [64]}},
        jobs=3,
        attempts=3,
    ),
    Pipeline(
        "spot",
        "spot",
        {"variables": {"EPOCHS": "12", "HIDDEN": "4096"}},
        meanwhile=lambda platform: platform.reclaiming("digits", times=2),
        attempts=3,
        deploys=False,
    ),
    Pipeline(
        "multi_node",
        "multi_node",
        {"variables": {"EPOCHS": "12", "STEPS_PER_EPOCH": "1500"}},
        meanwhile=lambda platform: platform.reclaiming("two-nodes", times=1),
        attempts=2,
        deploys=False,
    ),
    Pipeline("retrain", "retrain", {"epochs": 2, "hidden": 64}),
    Pipeline(
        "approve",
        "approve",
        {"epochs": 4, "hidden": 64, "probe_seconds": 15, "probe_every": 10, "accuracy": 0.5},
        jobs=2,
        attempts=2,
    ),
)


@dataclass(frozen=True)
class Row:
    """What came of a pipeline on an engine. `problem` says what is not as it should be; empty, if all is."""

    pipeline: str
    engine: str
    jobs: int
    attempts: int
    checkpoints: int
    deployment: str
    seconds: float
    problem: str


class Engine(Protocol):
    """An engine that runs, with a person before it who approves of everything."""

    def run(self, pipeline: Pipeline, data: Path) -> str:
        """Run a pipeline to its end, which is named: "success", or what else it is."""


# ---------------------------------------------------------------- both engines, and the table


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended then, too
    if sys.argv[1:]:
        return run_all(sys.argv[1])
    shutil.rmtree(HOME, ignore_errors=True)
    began = time.monotonic()
    processes = [start(engine) for engine in ENGINES]
    try:
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.terminate()  # unless it has ended
        for process in processes:
            process.wait()
    rows = [row for engine in ENGINES for row in rows_of(engine)]
    show(rows)
    print(f"\nIt took {time.monotonic() - began:.0f} seconds. What each engine said is below {HOME}.")
    return 1 if any(codes) or len(rows) < len(PIPELINES) * len(ENGINES) or any(row.problem for row in rows) else 0


def start(engine: str) -> subprocess.Popen[bytes]:
    """A process that runs all pipelines on an engine, with its environment's interpreter."""
    home = HOME / engine
    home.mkdir(parents=True)
    with (home / "pipelines.log").open("w") as log:
        command = [ROOT / f".venv-{engine}" / "bin" / "python", "-I", __file__, engine]
        return subprocess.Popen(command, stderr=log)


def run_all(engine: str) -> int:
    home, begin = HOME / engine, {"airflow": airflow, "prefect": prefect}[engine]
    with LocalPlatform.started(home / "platform", stop_grace=2.0) as platform, begin(home, platform) as running:
        for pipeline in PIPELINES:
            row = run_one(pipeline, engine, running, platform, home / "data")
            with (home / "rows.jsonl").open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            print(f"{engine:<8} {pipeline.name:<12} {row.problem or 'as it should be'}", flush=True)
    return 0


def run_one(pipeline: Pipeline, engine: str, running: Engine, platform: LocalPlatform, data: Path) -> Row:
    before, began = there_is(platform), time.monotonic()
    try:
        with pipeline.meanwhile(platform):
            state = running.run(pipeline, data)
    except Exception as error:
        traceback.print_exc()
        state = repr(error)
    after = there_is(platform)
    made = [name for job_id, name in after["jobs"].items() if job_id not in before["jobs"]]
    trainings = len({name.rpartition("-")[0] for name in made})  # the names of one differ in the attempt
    deployed = [text for each, text in after["deployments"].items() if each not in before["deployments"]]
    complaints = {
        state: state != "success",
        f"{trainings} jobs instead of {pipeline.jobs}": trainings != pipeline.jobs,
        f"{len(made)} attempts instead of {pipeline.attempts}": len(made) != pipeline.attempts,
        "no deployment": pipeline.deploys and not deployed,
    }
    return Row(
        pipeline=pipeline.name,
        engine=engine,
        jobs=trainings,
        attempts=len(made),
        checkpoints=sum(after["checkpoints"].values()) - sum(before["checkpoints"].values()),
        deployment=", ".join(deployed) or "none",
        seconds=time.monotonic() - began,
        problem="; ".join(text for text, applies in complaints.items() if applies),
    )


def there_is(platform: LocalPlatform) -> dict[str, dict[str, Any]]:
    """Everything that a platform has: the jobs' names, how many checkpoints they have, and the deployments."""
    with Client(platform.remote) as client:
        listed = client.send(endpoints.search_jobs()).training_jobs
        saved = {job.id: len(client.run(checkpoints.list_checkpoints(job))) for job in listed}
        models = client.send(endpoints.list_models()).models
        deployed = {
            each.id: f"{model.name} {each.status}"
            for model in models
            for each in client.send(endpoints.list_deployments(model.id)).deployments
        }
    return {"jobs": {job.id: job.name or "" for job in listed}, "checkpoints": saved, "deployments": deployed}


def rows_of(engine: str) -> list[Row]:
    file = HOME / engine / "rows.jsonl"
    return [Row(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def show(rows: list[Row]) -> None:
    titles = ("pipeline", "engine", "jobs", "attempts", "checkpoints", "deployment", "time", "")
    lines = [
        (row.pipeline, row.engine, str(row.jobs), str(row.attempts), str(row.checkpoints), row.deployment,
         f"{row.seconds:.0f} s", row.problem or "as it should be")
        for row in sorted(rows, key=lambda row: row.pipeline)
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in (titles, *lines)) for column in range(len(titles))]
    print()
    for line in (titles, *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def new_version(data: Path) -> None:
    """A file that was not there."""
    data.mkdir(exist_ok=True)
    (data / f"{time.time_ns()}.csv").write_text("1,2,3\n")


def until(look: Callable[[], Any], what: str) -> Any:
    """What `look` says once that is true."""
    deadline = time.monotonic() + ENDS_WITHIN
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {ENDS_WITHIN:.0f} s: {what}")
        time.sleep(LOOK_INTERVAL)
    return seen


def forever(do: Callable[[], None]) -> None:
    """In a thread of its own, again and again; what fails is tried again."""

    def loop() -> None:
        while True:
            with suppress(Exception):
                do()
            time.sleep(LOOK_INTERVAL)

    threading.Thread(target=loop, daemon=True).start()


def module(path: Path, name: str) -> ModuleType:
    """A file as a module of another name: demos/prefect.py would hide prefect."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


# ---------------------------------------------------------------- Airflow


@contextmanager
def airflow(home: Path, platform: LocalPlatform) -> Iterator[Engine]:
    demo = module(ROOT / "demos" / "airflow.py", "demo_of_airflow")
    (home / "data").mkdir()
    with demo.airflow(
        home, platform.remote, DATASET_SOURCE=(home / "data").as_uri(), DATASET_INTERVAL="1", RETRAIN_AT=""
    ) as api:
        forever(lambda: approve_in_airflow(api))
        yield Airflow(api, demo)


@dataclass(frozen=True)
class Airflow:
    api: Any
    demo: ModuleType

    def run(self, pipeline: Pipeline, data: Path) -> str:
        dag = f"/api/v2/dags/{pipeline.name}"
        until(lambda: self.api.patch(dag, json={"is_paused": False}).status_code == 200, f"DAG {pipeline.name}")
        if pipeline.started_by_data:
            new_version(data)
        else:
            body = {"logical_date": None, "conf": dict(pipeline.parameters)}
            self.api.post(f"{dag}/dagRuns", json=body).raise_for_status()
        return str(until(lambda: self._end(f"{dag}/dagRuns"), f"end of {pipeline.name}"))

    def _end(self, runs: str) -> str | None:
        """The state of the newest run of a DAG, once all have ended."""
        listed = self.api.get(runs, params={"order_by": "run_after"}).raise_for_status().json()["dag_runs"]
        ended = [run["state"] for run in listed if run["state"] in ("success", "failed")]
        return ended[-1] if listed and len(ended) == len(listed) else None


def approve_in_airflow(api: Any) -> None:
    everything = "/api/v2/dags/~/dagRuns/~/hitlDetails"
    for asked in api.get(everything, params={"response_received": False}).raise_for_status().json()["hitl_details"]:
        # Before the scheduler has seen that the process which asked has ended, an answer lets the task fail (3.3.2).
        time.sleep(15.0)
        ti = asked["task_instance"]
        path = f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}"
        api.patch(f"{path}/{ti['map_index']}/hitlDetails", json={"chosen_options": ["Approve"]}).raise_for_status()


# ---------------------------------------------------------------- Prefect


@contextmanager
def prefect(home: Path, platform: LocalPlatform) -> Iterator[Engine]:
    from prefect_truss_train.testing import PrefectServer, free_port

    server = PrefectServer(f"http://127.0.0.1:{free_port()}", home / "server")
    os.environ.update(server.environment)  # before prefect is imported
    with PrefectServer.started(server.home, port=server.port):
        from prefect_truss_train import BasetenCredentials

        BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten")
        forever(approve_in_prefect)
        yield Prefect()


@dataclass(frozen=True)
class Prefect:
    def run(self, pipeline: Pipeline, data: Path) -> str:
        file = ROOT / "dags" / "prefect" / f"{pipeline.name}.py"
        if pipeline.started_by_data:
            return self._served(file, pipeline.flow.replace("_", "-"), data)
        flow = getattr(module(file, pipeline.name), pipeline.flow)
        state = flow(**pipeline.parameters, return_state=True)
        return "success" if state.is_completed() else str(state)

    def _served(self, file: Path, flow: str, data: Path) -> str:
        """Serve what the file serves, until the flow that new data start has ended."""
        new_version(data)
        environment = {**os.environ, "DATASET_SOURCE": str(data), "DATASET_INTERVAL": "20"}
        serving = subprocess.Popen([sys.executable, file], env=environment, stdout=sys.stderr, stderr=sys.stderr)
        try:
            state = until(lambda: end_in_prefect(flow), f"end of {flow}")
        finally:
            serving.terminate()
            serving.wait()
        return "success" if state.is_completed() else str(state)


def end_in_prefect(flow: str) -> Any:
    """The state of the one run of a flow, once that has ended."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter

    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_filter=FlowFilter(name={"any_": [flow]}))
    return next((run.state for run in runs if run.state and run.state.is_final()), None)


def approve_in_prefect() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.flow_runs import resume_flow_run

    with get_client(sync_client=True) as client:
        paused = client.read_flow_runs(flow_run_filter=FlowRunFilter(state={"type": {"any_": ["PAUSED"]}}))
    for run in paused:
        resume_flow_run(run.id, run_input={"approved": True})


if __name__ == "__main__":
    sys.exit(main())
