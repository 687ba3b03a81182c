"""The server as a process of its own, with the runner that it really has."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_platform import served

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.server.data_dir import held

SPOT = {"availability_model": "spot"}


@dataclass
class Server:
    """`python -m truss_train_core.local` on a port of its own."""

    data_dir: Path
    process: subprocess.Popen[str] | None = None
    http: httpx.Client = field(default_factory=httpx.Client)

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "truss_train_core.local", "--data-dir", str(self.data_dir), "--port", "0"]
        self.process = subprocess.Popen([*command, "--stop-all-on-exit", *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        ready = json.loads(self.process.stdout.readline())
        key = Path(ready["key_file"]).read_text().strip()
        self.http = httpx.Client(base_url=ready["url"], headers={"Authorization": f"Api-Key {key}"}, timeout=30)

    def end(self, number: int) -> int:
        assert self.process
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(60)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, *commands: str, **training_job: Any) -> str:
        project = self.call("POST", "/v1/training_projects", {"training_project": {"name": "p"}})["training_project"][
            "id"
        ]
        runtime = {"start_commands": list(commands), "checkpointing_config": {"enabled": True}}
        body = {"image": {"base_image": "python"}, "runtime": runtime, **training_job}
        path = f"/v1/training_projects/{project}/jobs"
        return f"{path}/{self.call('POST', path, {'training_job': body})['training_job']['id']}"

    def home(self, job: str) -> Path:
        """What the job calls ~."""
        return self.data_dir / "jobs" / job.rpartition("/")[2] / "work/rank-0/root"

    def status(self, job: str) -> str:
        return str(self.call("GET", job)["training_job"]["current_status"])

    def log(self, job: str) -> str:
        return "".join(line["message"] for line in self.call("GET", f"{job}/logs?direction=asc")["logs"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data")
    yield server
    if server.process and server.process.poll() is None:
        server.end(signal.SIGTERM)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_job_survives_the_death_of_its_server(server: Server) -> None:
    server.start()
    job = server.job("echo waiting; while [ ! -e ~/go ]; do sleep 0.05; done; echo went on")
    wait_until(lambda: "waiting\n" in server.log(job))
    server.end(signal.SIGKILL)
    (server.home(job) / "go").touch()
    server.start()
    wait_until(lambda: server.status(job) == "TRAINING_JOB_COMPLETED")

    assert "went on\n" in server.log(job)


@pytest.mark.slow
def test_a_preempted_job_saves_its_last_checkpoint_and_another_goes_on_from_it(server: Server) -> None:
    server.start("--stop-grace", "10")
    saving = (
        "save() { cd $BT_CHECKPOINT_DIR; mkdir checkpoint-7; echo seven > checkpoint-7/state; exit 1; }; "
        "trap save TERM; echo training; while true; do sleep 0.05; done"
    )
    job = server.job(saving, compute=SPOT)
    wait_until(lambda: "training\n" in server.log(job))
    server.call("POST", f"/v1/local/jobs/{job.rpartition('/')[2]}/preempt")
    wait_until(lambda: server.status(job) == "TRAINING_JOB_PREEMPTED")
    wait_until(lambda: server.call("GET", job)["training_job"]["checkpoint_sync_status"] == "COMPLETED")
    (file,) = server.call("GET", f"{job}/checkpoint_files")["presigned_urls"]
    assert (file["relative_file_name"], httpx.get(file["url"]).text) == ("checkpoint-7/state", "seven\n")

    load = {"enabled": True, "checkpoints": [{"typ": "baseten_latest_checkpoint", "project_name": "p"}]}
    runtime = {"start_commands": ["cat $BT_LOAD_CHECKPOINT_DIR/rank-0/*/state"], "load_checkpoint_config": load}
    resumed = server.job(runtime=runtime)
    wait_until(lambda: server.status(resumed) == "TRAINING_JOB_COMPLETED")
    assert "seven\n" in server.log(resumed)


@pytest.mark.slow
def test_a_checkpoint_is_deployed_and_answers(server: Server) -> None:
    server.start()
    serving = "import http.server,os; h=http.server.SimpleHTTPRequestHandler; os.chdir(os.environ['MODEL_DIR']);"
    serving += "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), h).serve_forever()"
    job = server.job("mkdir $BT_CHECKPOINT_DIR/final; echo forty-two > $BT_CHECKPOINT_DIR/final/answer")
    wait_until(lambda: server.call("GET", job)["training_job"]["checkpoint_sync_status"] == "COMPLETED")
    checkpoint = {"training_job_id": job.rpartition("/")[2], "checkpoint_name": "final"}
    source = {
        "weight_source_type": "B10_CHECKPOINTING", "b10_training_checkpoint_weights_source": {"checkpoint": checkpoint}
    }  # fmt: skip
    request = {"metadata": {"oracle_name": "m"}, "weights_sources": [source], "instance_type_id": "1x2"}
    local = {"start_command": f'python -c "{serving}"', "readiness_endpoint": "/answer"}
    query = "mutation { create_model_version_from_inference_template(request: $r) { model_version { id model_id } } }"
    body = {"query": query, "variables": {"request": request}, "extensions": {"local_server": local}}
    answer = server.call("POST", "/graphql/", body)["data"]["create_model_version_from_inference_template"]
    model, deployment = answer["model_version"]["model_id"], answer["model_version"]["id"]
    path = f"/v1/models/{model}/deployments/{deployment}"
    wait_until(lambda: server.call("GET", path)["status"] == "ACTIVE")

    asked = server.http.get(f"/model-{model}/deployment/{deployment}/sync/answer")
    assert asked.text == "forty-two\n"
    server.end(signal.SIGKILL)
    server.start()
    assert server.http.get(f"/model-{model}/deployment/{deployment}/sync/answer").text == "forty-two\n"
    server.call("POST", f"{path}/deactivate")
    wait_until(lambda: server.call("GET", path)["status"] == "INACTIVE")


def test_an_answer_is_not_held_back(server: Server) -> None:
    server.start()
    times = []
    for _ in range(21):
        began = time.perf_counter()
        server.call("GET", "/v1/users/me")
        times.append(time.perf_counter() - began)

    assert sorted(times)[10] < 0.03  # each takes 0.04 s where Nagle's algorithm waits for an acknowledgement


@pytest.mark.slow
def test_sigterm_ends_the_server_well_and_all_that_it_ran_if_so_asked(server: Server) -> None:
    server.start("--stop-grace", "5")
    job = server.job("echo $$ > ~/pid; sleep 600")
    pid = server.home(job) / "pid"
    wait_until(lambda: pid.exists() and pid.read_text().strip())

    assert server.end(signal.SIGTERM) == 0
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def refusal(*options: str) -> str:
    command = [sys.executable, "-m", "truss_train_core.local", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Port {port} of 127.0.0.1 is in use." in refusal("--port", port, "--data-dir", str(tmp_path))


def test_data_of_a_newer_release_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("99\n")

    assert "written by a newer release (format 99" in refusal("--port", "0", "--data-dir", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["format", "lock"]


def test_one_server_at_a_time_uses_a_data_directory(tmp_path: Path) -> None:
    with held(tmp_path):
        assert "Another server uses" in refusal("--port", "0", "--data-dir", str(tmp_path))
    with held(tmp_path):
        pass


def test_a_file_in_place_of_the_data_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "cannot be used as data directory" in refusal("--port", "0", "--data-dir", str(tmp_path / "file"))


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "platform.db").write_bytes(b"not a database" * 100)

    assert "file is not a database" in refusal("--port", "0", "--data-dir", str(tmp_path))


def test_only_the_owner_can_read_the_data(tmp_path: Path) -> None:
    with served(tmp_path / "data") as platform:
        platform.call("POST", "/v1/secrets", {"name": "token", "value": "hunter2"})
        root = platform.platform.data.root
        files = [root / "api-key", root / "presign-key", *root.glob("platform.db*")]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}

    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert {"platform.db", "platform.db-wal"} <= modes.keys()


def test_a_key_is_kept_and_can_be_replaced(tmp_path: Path) -> None:
    with held(tmp_path) as data:
        first = data.api_key()
        assert data.api_key() == first
        assert data.api_key("mine") == "mine"
        assert data.api_key() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes one file system of the size that is asked for."""
    place = tmp_path / "small"
    place.mkdir()

    def mount(size: str) -> Path:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False)
        if made.returncode:
            pytest.skip("mounting a small file system needs root")
        return place

    yield mount
    subprocess.run(["umount", "--quiet", place], check=False)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_is_one_line(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("64k")
    fill(disk)

    assert "The disk that holds" in refusal("--port", "0", "--data-dir", str(disk / "data"))


def test_a_disk_too_small_for_the_database_is_one_line(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("64k")

    assert "disk is full" in refusal("--port", "0", "--data-dir", str(disk / "data"))


def test_a_disk_that_fills_up_is_told_to_who_asks_and_can_be_freed(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("4m")
    with served(disk / "data") as platform:
        credentials = platform.call("GET", "/v1/blobs/credentials/train")
        fill(disk)
        refused = platform.call("POST", "/v1/secrets", {"name": "large", "value": "x" * 100_000}, expect=507)
        assert refused["message"] == "The disk of the local platform is full. Free some space."
        creds = credentials["creds"]
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={creds['aws_access_key_id']}/d/r/s3/aws4_request",
            "x-amz-security-token": creds["aws_session_token"],
        }
        url = f"/{credentials['s3_bucket']}/{credentials['s3_key']}"
        answer = platform.http.put(url, content=b"x" * 100_000, headers=headers)
        assert (answer.status_code, "InsufficientStorage" in answer.text) == (400, True)

        (disk / "filler").unlink()
        assert platform.http.put(url, content=b"x" * 100_000, headers=headers).status_code == 200
        platform.call("POST", "/v1/secrets", {"name": "large", "value": "x" * 100_000})


def test_held_raises_for_a_library_caller(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(LocalPlatformError, match="Another server"), held(tmp_path):
        pass
