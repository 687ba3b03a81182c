"""What a sandboxed job or deployment sees of this machine, and what it does not."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from running_jobs import INTERVALS, Jobs, wait_for

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.processes import sandbox, serving
from truss_train_core.local.processes.sandbox import Sandbox
from truss_train_core.local.runner import LoadedCheckpoint, ServerSpec
from truss_train_core.local.serve import ServeOptions, why_unsandboxed

WHY_NOT = sandbox.why_not()
needs_a_sandbox = pytest.mark.skipif(WHY_NOT is not None, reason=f"no sandbox here: {WHY_NOT}")


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path, sandboxed=True)
    yield jobs
    jobs.clean_up()


@needs_a_sandbox
def test_documented_paths_are_absolute_and_the_rank_s_own(jobs: Jobs, tmp_path: Path) -> None:
    source = tmp_path / "store"
    (source / "rank-0/checkpoint-3").mkdir(parents=True)
    (source / "rank-0/checkpoint-3/state.json").write_text("loaded")
    spec = jobs.submit(
        "env | sort | grep -E '^(BT_.*DIR|HOME|TMPDIR|PWD)='",
        "mkdir /mnt/ckpts/checkpoint-1; echo saved > /mnt/ckpts/checkpoint-1/model.bin",
        "cat train.py /tmp/loaded_checkpoints/rank-0/checkpoint-3/state.json; echo > /mnt/bt-scratch/a",
        "echo kept > /root/.cache/user_artifacts/a; echo kept > ~/.cache/huggingface/b",
        files={"train.py": "unpacked"},
        checkpointing=True,
        load_dir="/tmp/loaded_checkpoints",
        loaded=(LoadedCheckpoint(source=source, checkpoint_name="checkpoint-3", folder="checkpoint-3"),),
        project_cache=tmp_path / "caches/project",
        legacy_hf_cache=tmp_path / "caches/hf",
    )

    assert jobs.ended(spec).phase == "completed", jobs.log(spec)

    log = jobs.log(spec)
    for line in (
        "BT_CHECKPOINT_DIR=/mnt/ckpts", "BT_LOAD_CHECKPOINT_DIR=/tmp/loaded_checkpoints", "HOME=/root",
        "BT_SCRATCH_DIR=/mnt/bt-scratch",
        "BT_PROJECT_CACHE_DIR=/root/.cache/user_artifacts", "BT_RW_CACHE_DIR=/root/.cache", "TMPDIR=/tmp",
        "BT_WORKING_DIR=/b10/workspace", "PWD=/b10/workspace", "unpackedloaded",
    ):  # fmt: skip
        assert f"{line}\n" in log
    assert jobs.checkpoints(spec)["checkpoint-1"].complete
    assert (tmp_path / "caches/project/a").read_text() == (tmp_path / "caches/hf/b").read_text() == "kept\n"


@needs_a_sandbox
def test_a_job_sees_nothing_else_of_the_data_directory_nor_a_home_nor_other_processes(
    jobs: Jobs, tmp_path: Path
) -> None:
    (tmp_path / "platform.db").write_text("everything")
    other = jobs.submit("echo other > ~/secret; echo ready; sleep 60", environment={"TOKEN": "of-the-other"})
    jobs.printed(other, "ready\n")
    supervisor = psutil.Process(jobs.state(other).supervisor_pid)
    (command,) = supervisor.children()
    spec = jobs.submit(
        f"find {tmp_path} -type f -o -type l | grep -v /venv/; ! ls -A /home /var /mnt/ckpts",
        f"! cat {tmp_path}/platform.db && ! ls {other.directory} && ! ls {Path.home()}/.ssh",
        f"for pid in {os.getpid()} {supervisor.pid} {command.pid}; do "
        "! ls /proc/$pid/root/ && ! ls /proc/$pid/cwd/ && ! cat /proc/$pid/environ || exit 9; done",
        "! touch /usr/mine && ! touch /etc/mine && ! touch /proc/sys/kernel/core_pattern",
        "touch ~/mine /tmp/mine ./mine",
    )

    assert jobs.ended(spec).phase == "completed", jobs.log(spec)

    log = jobs.log(spec)
    assert "everything\n" not in log
    assert "of-the-other" not in log
    assert not [line for line in log.splitlines() if line.startswith(str(tmp_path))], log
    assert (spec.directory / "work/rank-0/root/mine").exists()


@needs_a_sandbox
def test_the_interpreter_s_packages_are_seen_and_cannot_be_changed(jobs: Jobs) -> None:
    checks = """
        import importlib.util, os, pathlib, subprocess, sys
        import pydantic, truss_train_core
        assert sys.prefix == os.environ["VIRTUAL_ENV"]
        for package in (pydantic, truss_train_core):
            assert not os.access(pathlib.Path(package.__file__).parent, os.W_OK)
        subprocess.run(["pip", "--version"], check=True)
        subprocess.run(["uv", "--version"], check=True)
        (pathlib.Path(sys.prefix) / "mine").touch()
        print("as expected")
    """
    spec = jobs.submit("python check.py", files={"check.py": checks})

    assert jobs.ended(spec).phase == "completed", jobs.log(spec)
    assert "as expected\n" in jobs.log(spec)


@needs_a_sandbox
def test_links_in_a_checkpoint_are_followed_inside_the_sandbox_only(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "platform.db").write_text("everything")
    spec = jobs.submit(
        "cd /mnt/ckpts && mkdir checkpoint-1 /root/base && echo weights > /root/base/model.bin && cd checkpoint-1",
        "cd /mnt/ckpts/checkpoint-1 && ln -s /root/base/model.bin absolute.bin && ln -s absolute.bin relative.bin",
        f"cd /mnt/ckpts/checkpoint-1 && ln -s {tmp_path}/platform.db database.bin && echo true > config.bin",
        f"ln -s {tmp_path} /mnt/ckpts/.up && ln -s /mnt/ckpts/.up/platform.db /mnt/ckpts/checkpoint-1/around.bin",
        checkpointing=True,
    )

    assert jobs.ended(spec).phase == "completed", jobs.log(spec)

    checkpoint = jobs.checkpoints(spec)["checkpoint-1"]
    assert [file.path.partition("/")[2] for file in checkpoint.files] == ["absolute.bin", "config.bin", "relative.bin"]
    for name in ("absolute.bin", "relative.bin"):
        stored = spec.checkpoint_store / "rank-0/checkpoint-1" / name
        assert (stored.is_symlink(), stored.read_text()) == (False, "weights\n")


@needs_a_sandbox
def test_a_sandbox_that_cannot_be_made_fails_the_job_with_the_reason_in_its_log(jobs: Jobs) -> None:
    spec = jobs.submit("echo never", checkpointing=True, checkpoint_dir="/usr/nowhere/ckpts")

    state = jobs.ended(spec)

    assert state.phase == "failed"
    assert "the sandbox could not be made" in (state.error_message or "")
    assert "bwrap: " in jobs.log(spec)


@needs_a_sandbox
def test_a_deployment_sees_its_weights_and_nothing_else(tmp_path: Path) -> None:
    weights = tmp_path / "checkpoints/rank-0/checkpoint-2"
    weights.mkdir(parents=True)
    (weights / "index.html").write_text("weights")
    (tmp_path / "platform.db").write_text("everything")
    directory = tmp_path / "deployments/d1"
    refused = f'! cat {tmp_path}/platform.db && ! touch "$MODEL_DIR/mine" && ! ls {weights}'
    spec = ServerSpec(
        deployment_id="d1",
        model_id="model1",
        model_name="digits",
        directory=directory,
        weights_root=directory / "weights",
        weights=((weights, "job1/rank-0/checkpoint-2"),),
        start_command=f'{refused} && exec python -m http.server --directory "$MODEL_DIR" "$PORT"',
        readiness_path="/",
        readiness_timeout=60.0,
        python=Path(sys.executable),
        sandboxed=True,
    )
    serving.start(spec, INTERVALS)
    try:
        wait_for(lambda: serving.status(directory).phase not in ("building", "deploying", "loading_model"), "ready", 60)
        state = serving.status(directory)
        assert state.phase == "active", state.error_message
        with urllib.request.urlopen(f"http://127.0.0.1:{state.port}/", timeout=10) as answer:
            assert answer.read() == b"weights"
    finally:
        serving.stop(directory)
        wait_for(lambda: serving.status(directory).phase in serving.ENDED, "the end")


def test_where_there_is_no_sandbox_it_is_said_why_and_refused_where_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert why_unsandboxed(ServeOptions()) == "bubblewrap is not installed"
    with pytest.raises(LocalPlatformError, match=r"cannot run in a sandbox: bubblewrap is not installed"):
        why_unsandboxed(ServeOptions(sandbox=True))
    assert why_unsandboxed(ServeOptions(sandbox=False)) == "--no-sandbox was given"


def test_a_bubblewrap_that_may_make_no_namespaces_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert sandbox.why_not() == "bubblewrap cannot be used here: bwrap: No permissions to create new namespace"


def test_paths_of_the_sandbox_lead_to_its_own_places_outside(tmp_path: Path) -> None:
    place = tmp_path / "data/jobs/a/root"
    place.mkdir(parents=True)
    (place / "file").touch()
    (place / "loop").symlink_to("loop")
    view = Sandbox(hidden=tmp_path / "data", readable=(), writable=((place, Path("/root")),), work=Path("/root"))

    assert view.outside(Path("/root/file")) == place / "file"
    assert view.outside(place / "file") is None
    assert view.outside(Path("/home/file")) is None
    assert view.outside(Path("/root/loop")) is None


def test_the_signals_of_a_command_are_told_from_its_exit_codes() -> None:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)
    adopted = sandbox.Adopted(pid)

    assert wait_for(adopted.poll, "its end") == -signal.SIGTERM
    assert adopted.poll() == -signal.SIGTERM
