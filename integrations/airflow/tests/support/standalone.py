"""A real Airflow, as `make demo ENGINE=airflow` starts it, and what a person does to its tasks."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import httpx
import psutil

from truss_train_core import Remote

T = TypeVar("T")
THINKS = 15.0
"""Seconds until a person answers. In the first few, the process which asked may not have ended yet, or the scheduler
not have seen it, and the answered task is taken for one that was killed (3.3.2): 5 s were seen on a busy machine."""


def _demo() -> ModuleType:
    path = Path(__file__).resolve().parents[4] / "demos" / "airflow.py"
    spec = importlib.util.spec_from_file_location("demo_of_airflow", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


demo = _demo()


def eventually(what: str, look: Callable[[], T], seconds: float = 300.0) -> T:
    """What `look` says once that is true."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until, f"not after {seconds:.0f} s: {what}"
        time.sleep(0.2)
    return seen


@dataclass(frozen=True)
class Standalone:
    """A running Airflow."""

    api: httpx.Client
    home: Path
    restarted: list[subprocess.Popen[bytes]]

    @classmethod
    @contextmanager
    def started(cls, home: Path, remote: Remote, dags: Path, **more: str) -> Iterator[Standalone]:
        """Start one; `more` are more of its settings, as environment variables."""
        settings = {
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            **more,
        }
        with demo.airflow(home, remote, dags=dags, **settings) as api:
            running = cls(api, home, [])
            try:
                yield running
            finally:
                for process in running.restarted:
                    demo.end(process)

    def start(self, dag_id: str, **conf: Any) -> Run:
        """A new run of a DAG."""
        self.unpaused(dag_id)
        body = {"logical_date": None, "conf": conf}
        answer = self.api.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body).raise_for_status()
        return Run(self.api, dag_id, answer.json()["dag_run_id"])

    def restart(self, part: str) -> None:
        """SIGKILL a part of Airflow, and start it again as it was."""
        family = [each for each in self.processes() if each.cmdline()[-1:] == [part]]
        environment, command = family[0].environ(), [sys.executable, "-m", "airflow", part]
        for process in family:
            process.kill()
        with (self.home / f"{part}.log").open("ab") as log:
            again = subprocess.Popen(
                command, env=environment, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        self.restarted.append(again)

    @contextmanager
    def halted(self, part: str) -> Iterator[None]:
        """A part of Airflow that does nothing meanwhile."""
        family = [each for each in self.processes() if each.cmdline()[-1:] == [part]]
        for process in family:
            process.suspend()
        try:
            yield
        finally:
            for process in family:
                process.resume()

    def unpaused(self, dag_id: str) -> None:
        """Let a DAG run, once the DAG processor knows it."""
        eventually(f"DAG {dag_id}", lambda: self._unpause(dag_id))

    def runs(self, dag_id: str) -> list[Run]:
        """The runs of a DAG, the oldest first."""
        listed = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns", params={"order_by": "run_after"}).raise_for_status()
        return [Run(self.api, dag_id, each["dag_run_id"]) for each in listed.json()["dag_runs"]]

    def _unpause(self, dag_id: str) -> bool:
        return self.api.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).status_code == 200

    def processes(self) -> list[psutil.Process]:
        """Those whose home is this one."""
        own = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("AIRFLOW_HOME") == str(self.home):
                    own.append(process)
            except (psutil.Error, OSError):
                continue
        return own


@dataclass(frozen=True)
class Run:
    """A DAG run."""

    api: httpx.Client
    dag_id: str
    run_id: str

    @property
    def state(self) -> str:
        state: str = self.get("")["state"]
        return state

    def task(self, map_index: int = -1, task_id: str = "train") -> dict[str, Any]:
        """A task as the API shows it."""
        return next(each for each in self.tasks() if (each["task_id"], each["map_index"]) == (task_id, map_index))

    def tasks(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.get("/taskInstances?limit=100")["task_instances"]
        return listed

    def waits(self, state: str) -> None:
        """Wait until the task does: in this state, and with the job's lines in its log.

        A task whose trigger the triggerer has not taken up yet is "deferred" as well.
        """
        eventually(f"{state}, with lines of the job", lambda: self.task()["state"] == state and self._shows_the_job())

    def ends(self, seconds: float = 300.0) -> str:
        """The state in which it ends."""
        eventually(f"end of {self.dag_id}", lambda: self.state in ("success", "failed"), seconds)
        return self.state

    def mark(self, state: str) -> None:
        """What a person does who marks the task as failed or successful."""
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/train"
        self.api.patch(path, json={"new_state": state}).raise_for_status()

    def mark_run(self, state: str) -> None:
        """What a person does who marks the whole run."""
        self.api.patch(f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}", json={"state": state}).raise_for_status()

    def clear(self) -> None:
        """What a person does who clears the task."""
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": ["train"], "only_failed": False}
        self.api.post(f"/api/v2/dags/{self.dag_id}/clearTaskInstances", json=body).raise_for_status()

    def answer(self, task_id: str, option: str) -> None:
        """What a person does who is asked by a human-in-the-loop task."""
        time.sleep(THINKS)
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self.api.patch(path, json={"chosen_options": [option]}).raise_for_status()

    def kill_worker(self) -> None:
        """SIGKILL the process that runs the task, and its supervisor."""
        os.kill(psutil.Process(self.task()["pid"]).ppid(), signal.SIGKILL)
        self.kill_process()

    def kill_process(self) -> None:
        """SIGKILL the process that runs the task, as where memory ends."""
        psutil.Process(self.task()["pid"]).kill()

    def returned(self, map_index: int = -1) -> Any:
        query = f"?map_index={map_index}"
        return self.get(f"/taskInstances/train/xcomEntries/return_value{query}")["value"]

    def log(self, attempt: int = 1, map_index: int = -1) -> list[str]:
        """The events of the task's log."""
        content = self.get(f"/taskInstances/train/logs/{attempt}?map_index={map_index}")["content"]
        return [line["event"] for line in content]

    def noted(self, map_index: int) -> int:
        """How many of the job's last lines the trigger knows to have shown, were another to take over."""
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/train/xcomEntries/truss_train_log"
        answer = self.api.get(path, params={"map_index": map_index, "deserialize": False, "stringify": False})
        return sum(answer.json()["value"]["cursor"]["seen"].values()) if answer.status_code == 200 else 0

    def _shows_the_job(self) -> bool:
        return any(line.startswith("starting after step") for line in self.log())

    def get(self, path: str) -> Any:
        """What the REST API answers below this run."""
        address = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}{path}"
        return self.api.get(address, headers={"Accept": "application/json"}).raise_for_status().json()
