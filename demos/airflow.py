"""The digits pipeline on a real Airflow: scheduler, triggerer and API server as processes, driven through the REST API.

It makes its own Airflow and its own local platform below .demo/airflow; when it ends, nothing of either runs any more.
`--keep` leaves them running for those who want to look, until Ctrl-C.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from truss_train_core import Remote
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo" / "airflow"
STARTS_WITHIN = 400.0
"""Seconds that Airflow may take until it answers."""
ENDS_WITHIN = 600.0
"""Seconds that the pipeline may take."""


def main() -> int:
    began = time.monotonic()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    with LocalPlatform.started(HOME / "platform", stop_grace=5.0) as platform, airflow(HOME, platform.remote) as api:
        run_id = start(api, "digits")
        state = follow(api, "digits", run_id)
        show(api, "digits", run_id)
        print(f"\nThe DAG run is a {state}. The whole story took {time.monotonic() - began:.0f} seconds.", flush=True)
        if "--keep" in sys.argv:
            print("Everything runs on until Ctrl-C.", flush=True)
            wait_for_interrupt()
    return 0 if state == "success" else 1


@contextmanager
def airflow(
    home: Path, remote: Remote, *, dags: Path = ROOT / "dags" / "airflow", **settings: str
) -> Iterator[httpx.Client]:
    """`airflow standalone`, ended with all its processes.

    Args:
        home: where it keeps everything.
        remote: where its connection `baseten_default` leads.
        dags: its DAGs.
        settings: more environment variables.
    """
    port, password = free_port(), secrets.token_urlsafe(9)
    (home / "passwords.json").write_text(json.dumps({"admin": password}))
    environment = {
        **os.environ,
        **settings,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_BASETEN_DEFAULT": connection(remote),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),  # another Airflow may have the usual ones
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
    print("Starting Airflow …", flush=True)
    with (home / "airflow.log").open("w") as log:
        command = [sys.executable, "-m", "airflow", "standalone"]
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True)
    try:
        api = client(f"http://localhost:{port}", password, process)
        print(f"Airflow: {api.base_url}  user admin  password {password}\n", flush=True)
        yield api
    finally:
        end(process)


def connection(remote: Remote) -> str:
    """An Airflow connection that leads to a remote, as an environment variable holds it."""
    return json.dumps({"conn_type": "baseten", "host": remote.api_url, "password": remote.key.get_secret_value()})


def client(address: str, password: str, process: subprocess.Popen[bytes]) -> httpx.Client:
    """A client of Airflow's REST API, once all its parts are healthy."""
    api = httpx.Client(base_url=address, timeout=120)
    until = time.monotonic() + STARTS_WITHIN
    while not is_healthy(api):
        if process.poll() is not None or time.monotonic() > until:
            sys.exit("Airflow did not start; its airflow.log says why.")
        time.sleep(0.5)
    token = api.post("/auth/token", json={"username": "admin", "password": password}).raise_for_status().json()
    api.headers["Authorization"] = f"Bearer {token['access_token']}"
    return api


def is_healthy(api: httpx.Client) -> bool:
    try:
        parts = api.get("/api/v2/monitor/health").json()
    except (httpx.TransportError, ValueError):
        return False
    return all(parts.get(part, {}).get("status") == "healthy" for part in ("metadatabase", "scheduler", "triggerer"))


def start(api: httpx.Client, dag_id: str) -> str:
    """Trigger a DAG, once the DAG processor knows it."""
    until = time.monotonic() + STARTS_WITHIN
    while api.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).status_code != 200:
        if time.monotonic() > until:
            sys.exit(f"Airflow does not know the DAG {dag_id}: {api.get('/api/v2/importErrors').text}")
        time.sleep(0.5)
    answer = api.post(f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": {}}).raise_for_status()
    run_id: str = answer.json()["dag_run_id"]
    return run_id


def follow(api: httpx.Client, dag_id: str, run_id: str) -> str:
    """Say how the tasks go, until the DAG run has ended; returns its state."""
    told: dict[str, str | None] = {}
    until = time.monotonic() + ENDS_WITHIN
    while True:
        state: str = api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()["state"]
        for ti in tasks(api, dag_id, run_id):
            if ti["state"] and told.get(ti["task_id"]) != ti["state"]:
                told[ti["task_id"]] = ti["state"]
                print(f"{time.strftime('%H:%M:%S')}  {ti['task_id']:<10} {ti['state']}", flush=True)
        if state in ("success", "failed"):
            return state
        if time.monotonic() > until:
            sys.exit(f"The DAG run is still {state} after {ENDS_WITHIN:.0f} s.")
        time.sleep(0.5)


def show(api: httpx.Client, dag_id: str, run_id: str) -> None:
    """What the tasks returned, and the end of the training's log."""
    of_run = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    for ti in tasks(api, dag_id, run_id):
        log = api.get(f"{of_run}/{ti['task_id']}/logs/{ti['try_number']}", headers={"Accept": "application/json"})
        lines = [line.get("event", "") for line in log.json().get("content", []) if isinstance(line, dict)]
        print(f"\n── log of {ti['task_id']}, its last lines")
        print("\n".join(f"   {line}" for line in lines[-8:]))
    answer = api.get(f"{of_run}/deploy/xcomEntries/return_value")
    if answer.status_code == 200:
        print(f"\nThe deployed model, asked about a zero, says: {answer.json()['value']}")


def tasks(api: httpx.Client, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    listed = api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances").raise_for_status().json()
    return sorted(listed["task_instances"], key=lambda ti: ti["start_date"] or "~")


def end(process: subprocess.Popen[bytes]) -> None:
    """End everything in a process's session: a signal to `airflow standalone` alone leaves some of it alive."""
    while family := [pid for pid in psutil.pids() if session_of(pid) == process.pid]:
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.1)


def session_of(pid: int) -> int | None:
    """The session of a live process; None where it has ended."""
    try:
        return None if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE else os.getsid(pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_interrupt() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
