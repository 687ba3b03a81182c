"""What a person may get wrong: one line that names the cause, and nothing is created."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Command

from truss_train_core import Client
from truss_train_core.api import endpoints
from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform, ManualClock

GOOD = """
from truss_train import definitions as d
project = d.TrainingProject(name="never", job=d.TrainingJob(image=d.Image(base_image="python")))
"""


@pytest.fixture
def nothing_created(local: LocalPlatform) -> Iterator[None]:
    """Afterwards, there are no more projects and jobs than before."""

    def created() -> tuple[int, int]:
        with Client(local.remote) as client:
            projects = client.send(endpoints.list_projects()).training_projects
            return len(projects), len(client.send(endpoints.search_jobs()).training_jobs)

    before = created()
    yield
    assert created() == before


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config.py"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("command", ["push", "run"])
@pytest.mark.usefixtures("nothing_created")
class TestConfigFiles:
    def test_a_missing_file(self, command: str, truss_train: Command, tmp_path: Path) -> None:
        truss_train(command, tmp_path / "none.py").is_refusal("none.py")

    def test_two_projects_in_one_file(self, command: str, truss_train: Command, config: Callable[[str], Path]) -> None:
        second = GOOD.replace("project =", "other =").replace("never", "never too")
        truss_train(command, config(GOOD + second)).is_refusal("2 objects", "project, other")

    def test_no_project(self, command: str, truss_train: Command, config: Callable[[str], Path]) -> None:
        truss_train(command, config("a = 1\n")).is_refusal("TrainingProject")

    def test_a_syntax_error(self, command: str, truss_train: Command, config: Callable[[str], Path]) -> None:
        truss_train(command, config("a = 1\nb = (\n")).is_refusal("config.py:2", "SyntaxError")

    def test_an_unknown_accelerator(self, command: str, truss_train: Command, config: Callable[[str], Path]) -> None:
        text = GOOD.replace('="python")', '="python"), compute=d.Compute(accelerator="H1000")')
        truss_train(command, config(text)).is_refusal("config.py:3", "H1000", "H100")

    def test_an_unknown_field(self, command: str, truss_train: Command, config: Callable[[str], Path]) -> None:
        truss_train(command, config(GOOD.replace("base_image", "base_imag"))).is_refusal("base_imag", "base_image")


@pytest.mark.usefixtures("nothing_created")
class TestOptions:
    def test_an_unknown_accelerator(self, truss_train: Command, config: Callable[[str], Path]) -> None:
        truss_train("push", config(GOOD), "--accelerator", "H1000").is_refusal("accelerator", "H1000")

    def test_a_metric_without_a_direction(self, truss_train: Command, config: Callable[[str], Path]) -> None:
        truss_train("run", config(GOOD), "--metric", "eval_loss").is_refusal("--metric", "--mode")
        truss_train("run", config(GOOD), "--mode", "max").is_refusal("--metric", "--mode")

    def test_a_run_without_checkpoints_to_choose_from(
        self, truss_train: Command, config: Callable[[str], Path]
    ) -> None:
        printed = truss_train("run", config(GOOD), "--metric", "eval_loss", "--mode", "min", "--no-deploy")
        printed.is_refusal("CheckpointingConfig")

    @pytest.mark.parametrize("question", ["{", "[1]", "no-such-file"])
    def test_a_question_that_is_none(self, truss_train: Command, config: Callable[[str], Path], question: str) -> None:
        truss_train("run", config(GOOD), "--ask", question).is_refusal("--ask")

    @pytest.mark.parametrize("content", [None, "{}", "not JSON"])
    def test_a_record_that_is_none(
        self, truss_train: Command, config: Callable[[str], Path], tmp_path: Path, content: str | None
    ) -> None:
        record = tmp_path / "record.json"
        if content:
            record.write_text(content)
        printed = truss_train("run", config(GOOD), "--no-deploy", "--resume", record)
        printed.is_refusal("record.json")

    def test_no_checkpoint_to_deploy(self, truss_train: Command) -> None:
        printed = truss_train("deploy-checkpoints", "--model-name", "m", "--accelerator", "H100")
        printed.is_refusal("which checkpoint")
        assert "--job-id" in printed.err

    def test_a_job_that_is_not_there(self, truss_train: Command) -> None:
        for command in ("logs", "metrics", "checkpoints", "stop"):
            truss_train(command, "--job-id", "nosuch").is_refusal("nosuch")


class TestRemotes:
    def test_no_such_remote(self, truss_train: Command, config: Callable[[str], Path]) -> None:
        truss_train("push", config(GOOD), "--remote", "nowhere").is_refusal("nowhere")

    def test_no_key(self, truss_train: Command, config: Callable[[str], Path]) -> None:
        truss_train("push", config(GOOD)).is_refusal("baseten")

    @pytest.mark.parametrize("command", ["push", "jobs", "logs", "stop"])
    def test_a_wrong_key(
        self, truss_train: Command, local: LocalPlatform, config: Callable[[str], Path], command: str
    ) -> None:
        write_remote("wrong", url=local.remote.web_url, api_key="wrong-key")
        arguments = [config(GOOD)] if command == "push" else []
        printed = truss_train(command, *arguments, "--remote", "wrong")
        printed.is_refusal("401", code=3)
        assert "wrong-key" not in printed.err

    def test_an_unreachable_host(self, truss_train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("truss_train_core.api.sending.Clock", ManualClock)  # it is tried again for ten seconds
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        write_remote("gone", url=f"http://localhost:{port}", api_key="key")
        truss_train("jobs", "--remote", "gone").is_refusal(f"localhost:{port}", "refused", code=3)


class TestServe:
    def test_a_port_in_use(self, truss_train: Command, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            printed = truss_train("serve", "--port", str(port), "--data-dir", tmp_path / "data", "--remote", "")
        printed.is_refusal(str(port), "in use", code=3)

    def test_a_data_directory_in_use(self, truss_train: Command, local: LocalPlatform) -> None:
        truss_train("serve", "--port", "0", "--data-dir", local.data_dir).is_refusal(str(local.data_dir), code=3)

    def test_a_data_directory_of_a_newer_version(self, truss_train: Command, tmp_path: Path) -> None:
        (tmp_path / "format").write_text("99\n")
        printed = truss_train("serve", "--port", "0", "--data-dir", tmp_path, "--remote", "")
        printed.is_refusal("newer release", code=3)
        assert not (tmp_path / "platform.db").exists()

    def test_a_capacity_that_is_none(self, truss_train: Command, tmp_path: Path) -> None:
        printed = truss_train("serve", "--port", "0", "--data-dir", tmp_path / "data", "--capacity", "H100=many")
        printed.is_refusal("--capacity")
        assert not (tmp_path / "data").exists()

    def test_the_local_extra_is_missing(self, truss_train: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "truss_train_core.local.serve", raising=False)
        monkeypatch.setitem(sys.modules, "uvicorn", None)  # cannot be imported
        printed = truss_train("serve")
        printed.is_refusal("uvicorn", code=3)
        assert "truss-train-core[local]" in printed.err


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB that is full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("only root can make a disk")
    try:
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


class TestFullDisk:
    def test_of_the_platform(self, truss_train: Command, tiny_disk: Path) -> None:
        printed = truss_train("serve", "--port", "0", "--data-dir", tiny_disk / "data", "--remote", "")
        printed.is_refusal("full", str(tiny_disk), code=3)

    @pytest.mark.usefixtures("nothing_created")
    def test_of_the_record(self, truss_train: Command, tiny_disk: Path, config: Callable[[str], Path]) -> None:
        record = tiny_disk / "record.json"
        printed = truss_train("run", config(GOOD), "--no-deploy", "--record", record)
        printed.is_refusal("No space left", "record.json", code=3)
        assert list(tiny_disk.iterdir()) == [tiny_disk / "filler"]
