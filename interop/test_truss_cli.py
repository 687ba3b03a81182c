"""The truss CLI, unmodified, against the local platform: each command that has to do with training."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PROJECT, Truss, http, said, wait_for
from truss.base.truss_config import TrussConfig

from truss_train_core import Remote

DEPLOY = """
from truss.base import truss_config
from truss_train import CheckpointList, Compute, DeployCheckpointsConfig, DeployCheckpointsRuntime, LoRACheckpoint

config = DeployCheckpointsConfig(
    checkpoint_details=CheckpointList(
        checkpoints=[LoRACheckpoint(training_job_id="{job_id}", checkpoint_name="checkpoint-1")]
    ),
    model_name="interop",
    runtime=DeployCheckpointsRuntime(environment_variables={{"LOG_LEVEL": "debug"}}),
    compute=Compute(accelerator=truss_config.AcceleratorSpec(accelerator=truss_config.Accelerator.H100, count=2)),
)
"""


@pytest.fixture(scope="module")
def api(remote: Remote) -> Iterator[httpx.Client]:
    with http(remote) as client:
        yield client


@pytest.fixture(scope="module")
def tail(truss: Truss) -> str:
    """What `push --tail` says of the project's job, from its creation to its end."""
    return truss("push", str(PROJECT / "config.py"), "--tail")


@pytest.fixture(scope="module")
def job_id(tail: str) -> str:
    return said(tail, r"truss train logs --job-id (\w+)")


def push(truss: Truss, *options: str) -> str:
    return said(truss("push", str(PROJECT / "config.py"), *options), r"--job-id[ =](\w+)")


def job(api: httpx.Client, job_id: str) -> dict[str, Any]:
    (found,) = api.post("/v1/training_jobs/search", json={"job_id": job_id}).json()["training_jobs"]
    return dict(found)


def wait_for_status(api: httpx.Client, job_id: str, status: str) -> None:
    wait_for(f"{status} of {job_id}", lambda: job(api, job_id)["current_status"] == f"TRAINING_JOB_{status}")


def deploy_config(truss: Truss, job_id: str) -> str:
    config = truss.directory / "deploy.py"
    config.write_text(DEPLOY.format(job_id=job_id))
    return str(config)


# ---------------------------------------------------------------- push


def test_push_and_tail(tail: str) -> None:
    said(tail, "Training job successfully created!")
    said(tail, r"step 1: loss 1\.000")
    said(tail, "Training job completed successfully")


def test_push_and_tail_of_a_job_that_fails(truss: Truss) -> None:
    tail = truss("push", str(PROJECT / "config.py"), "--tail", "--entrypoint", "echo going down; exit 7")
    said(tail, "going down")
    said(tail, "Training job failed during execution")


def test_push_of_an_archive_in_several_parts(truss: Truss, api: httpx.Client, tmp_path: Path) -> None:
    source = tmp_path / "large"
    shutil.copytree(PROJECT, source)
    content = random.Random(8).randbytes(20 << 20)
    (source / "model.bin").write_bytes(content)
    output = truss("push", str(source / "config.py"), "--entrypoint", "sha256sum model.bin")
    job_id = said(output, r"--job-id (\w+)")
    wait_for_status(api, job_id, "COMPLETED")
    said(truss("logs", "--job-id", job_id), hashlib.sha256(content).hexdigest())


def test_push_with_every_override(truss: Truss, api: httpx.Client) -> None:
    options = ("--job-name", "wide", "--accelerator", "H100:4", "--node-count", "2", "--priority", "5", "--spot")
    output = truss("push", str(PROJECT / "config.py"), "--team", "local", *options)
    said(output, "pending — waiting for GPU capacity")
    said(output, "This job needs 8 H100, and the platform has 0")
    pushed = job(api, said(output, r"--job-id=(\w+)"))
    assert (pushed["name"], pushed["node_count"], pushed["priority"]) == ("wide", 2, 5)
    assert (pushed["instance_type"]["gpu_type"], pushed["instance_type"]["gpu_count"]) == ("H100", 4)
    assert pushed["availability_model"] == "spot"


def test_push_of_an_interactive_job_is_refused_with_the_reason(truss: Truss) -> None:
    output = truss("push", str(PROJECT / "config.py"), "--interactive", "on_startup", exit_code=1)
    said(output, "the local platform has no interactive sessions")


# ---------------------------------------------------------------- looking at jobs


def test_view_of_everything(truss: Truss, job_id: str) -> None:
    said(truss("view"), r"Training Projects .* interop .* TRAINING_JOB_")


def test_view_of_a_project(truss: Truss, job_id: str) -> None:
    said(truss("view", "--project", "interop"), rf"{job_id} .* tiny .* TRAINING_JOB_COMPLETED")


def test_view_of_a_job(truss: Truss, job_id: str) -> None:
    said(truss("view", "--job-id", job_id), r"Checkpoints .* checkpoint-1, checkpoint-2")


def test_logs(truss: Truss, job_id: str) -> None:
    output = truss("logs", "--job-id", job_id)
    said(output, r"\(g00r0\) step 1: loss 1\.000")
    assert output.index("step 1") < output.index("step 2")
    assert output.count("step 1") == 1


def test_logs_of_a_running_job_followed_to_its_end(truss: Truss) -> None:
    running = push(truss, "--entrypoint", "for i in 1 2 3; do echo tick $i; sleep 2; done")
    output = truss("logs", "--job-id", running, "--tail")
    assert [output.count(f"tick {i}") for i in (1, 2, 3)] == [1, 1, 1]
    said(output, "Training job completed successfully")


def test_metrics_of_a_running_job(truss: Truss, api: httpx.Client) -> None:
    running = job(api, push(truss, "--entrypoint", "sleep 600"))
    path = f"/v1/training_projects/{running['training_project_id']}/jobs/{running['id']}"
    wait_for("a sample", lambda: api.get(path + "/metrics").json()["cpu_usage"])
    shown = truss.watch("metrics", "--job-id", running["id"], until="Eph. storage utilization")
    assert all(row in shown for row in ("Node: g00r0", "CPU usage", "CPU memory", "Cache storage"))
    api.post(path + "/stop", json={})


# ---------------------------------------------------------------- checkpoints


def test_list_of_checkpoints(truss: Truss, job_id: str) -> None:
    listed = json.loads(truss("checkpoints", "list", "--job-id", job_id, "-o", "json"))
    assert [one["checkpoint_id"] for one in listed["checkpoints"]] == ["checkpoint-1", "checkpoint-2"]
    lora, full = listed["checkpoints"]
    assert (lora["checkpoint_type"], lora["base_model"]) == ("lora", "Qwen/Qwen3-0.6B")
    assert lora["lora_adapter_config"]["r"] == 8
    assert (full["checkpoint_type"], full["size_bytes"] > 2000) == ("full", True)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_list_of_checkpoints_as_a_table_of_the_newest_job_of_a_project(truss: Truss, job_id: str, order: str) -> None:
    table = truss("checkpoints", "list", "--job-id", job_id, "-o", "csv", "--sort", "size", "--order", order)
    assert (table.index("checkpoint-1") < table.index("checkpoint-2")) == (order == "asc")


def test_addresses_of_checkpoints(truss: Truss, job_id: str) -> None:
    written = Path(said(truss("get_checkpoint_urls", "--job-id", job_id), r"downloaded to (\S+)"))
    files = json.loads(written.read_text())["checkpoint_artifacts"]
    by_name = {file["relative_file_name"]: file for file in files}
    weights = by_name["checkpoint-2/weights.safetensors"]
    assert weights["size_bytes"] == 2000
    got = httpx.get(weights["url"], proxy=truss.environment.get("HTTP_PROXY"), trust_env=False)
    assert got.content == bytes(2000)


# ---------------------------------------------------------------- what was pushed, and the cache


def test_download(truss: Truss, job_id: str, tmp_path: Path) -> None:
    folder = Path(said(truss("download", "--job-id", job_id, "--target-directory", str(tmp_path)), r"to (\S+)"))
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        file.name: file.read_text() for file in PROJECT.iterdir() if file.is_file()
    }


def test_download_of_the_archive(truss: Truss, job_id: str, tmp_path: Path) -> None:
    output = truss("download", "--job-id", job_id, "--target-directory", str(tmp_path), "--no-unzip")
    with tarfile.open(said(output, r"to (\S+)")) as archive:
        assert sorted(archive.getnames()) == ["config.py", "train.py"]


def test_summary_of_a_projects_cache(truss: Truss, job_id: str) -> None:
    summary = json.loads(truss("cache", "summarize", "interop", "-o", "json"))
    assert [(file["path"], file["size_bytes"]) for file in summary["files"]] == [("tokens.bin", 6)]


# ---------------------------------------------------------------- changing jobs


def test_stop_and_recreate(truss: Truss, api: httpx.Client) -> None:
    stopped = push(truss, "--entrypoint", "sleep 600", "--job-name", "sleeper")
    wait_for_status(api, stopped, "RUNNING")
    said(truss("stop", "--job-id", stopped), "Training job stopped successfully")
    wait_for_status(api, stopped, "STOPPED")

    recreated = said(truss("recreate", "--job-id", stopped), r"--job-id (\w+)")
    assert recreated != stopped
    assert job(api, recreated)["name"] == "sleeper"
    truss("stop", "--job-id", recreated)
    wait_for_status(api, recreated, "STOPPED")


def test_update_and_stop_of_a_pending_job(truss: Truss, api: httpx.Client) -> None:
    pending = push(truss, "--accelerator", "H100:1")
    said(truss("update", "--job-id", pending, "--priority", "7", "--availability-model", "spot"), "updated")
    updated = job(api, pending)
    assert (updated["priority"], updated["availability_model"]) == (7, "spot")
    said(truss("view"), rf"Queued .* {pending} .* Spot .* 7")
    truss("stop", "--job-id", pending)
    assert job(api, pending)["current_status"] == "TRAINING_JOB_STOPPED"


def test_update_of_a_job_that_ended_is_refused_with_the_reason(truss: Truss, job_id: str) -> None:
    said(truss("update", "--job-id", job_id, "--priority", "7", exit_code=1), "only a pending job can be changed")


def test_stop_of_a_job_that_ended_finds_none(truss: Truss, job_id: str) -> None:
    said(truss("stop", "--job-id", job_id, exit_code=2), "No queued or running jobs found")


# ---------------------------------------------------------------- capacity and sessions


def test_capacity(truss: Truss) -> None:
    said(truss("capacity", "update", "--team", "local", "--gpu-type", "H100", "--capacity", "3"), "to 3")
    said(truss("capacity", "view"), r"H100 .* 0 .* 0 .* local .* H100 .* 3")


def test_a_job_has_no_interactive_session(truss: Truss, job_id: str) -> None:
    said(truss("isession", "--job-id", job_id), "No auth codes found for this job")


def test_update_of_an_interactive_session_is_refused(truss: Truss, job_id: str) -> None:
    said(truss("update_session", job_id, "--timeout-minutes", "5", exit_code=1), "no interactive session")


def test_a_workstation_is_refused_with_the_reason(truss: Truss) -> None:
    said(truss("workstation", "-o", "json", exit_code=1), "no interactive sessions")


# ---------------------------------------------------------------- deploying


def test_deploy_checkpoints_dry_run(truss: Truss, api: httpx.Client, job_id: str, tmp_path: Path) -> None:
    models = api.get("/v1/models").json()
    config = deploy_config(truss, job_id)
    output = truss("deploy_checkpoints", "--config", config, "--dry-run", "--truss-config-output-dir", str(tmp_path))
    said(output, "did not deploy because --dry-run flag provided")
    check_truss_config(tmp_path / "config.yaml", job_id)
    assert api.get("/v1/models").json() == models


def test_deploy_checkpoints(truss: Truss, api: httpx.Client, job_id: str) -> None:
    output = truss("deploy_checkpoints", "--config", deploy_config(truss, job_id))
    said(output, "Successfully created deployment: deployment-1")
    said(output, r"set to one of \['checkpoint-1'\]")
    check_truss_config(truss.directory / said(output, r"Writing truss config to (\S+)"), job_id)
    model, deployment = (said(output, rf"{kind} ID: (\w+)") for kind in ("Model", "Deployment"))
    deployed = api.get(f"/v1/models/{model}/deployments/{deployment}").json()
    assert deployed["instance_type_name"].startswith("H100:2")


def check_truss_config(written: Path, job_id: str) -> None:
    config = TrussConfig.from_yaml(written)
    assert config.training_checkpoints is not None
    (reference,) = config.training_checkpoints.artifact_references
    assert (reference.training_job_id, reference.paths) == (job_id, ["rank-0/checkpoint-1/"])
    accelerator = config.resources.accelerator
    assert accelerator is not None
    assert (accelerator.accelerator, accelerator.count) == ("H100", 2)
    assert config.environment_variables["LOG_LEVEL"] == "debug"
    assert "--lora-modules checkpoint-1=" in config.environment_variables["BT_DOCKER_SERVER_START_CMD"]
