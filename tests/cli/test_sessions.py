"""Interactive sessions and workstations: what is sent to Baseten, and how the local platform refuses them."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import Command, Project

from truss_train_core import Client, definitions
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.sessions import slurm_scripts, ssh_hosts, workstation_project
from truss_train_core.remotes import Remote
from truss_train_core.testing import LocalPlatform


@pytest.fixture
def job_id(truss_train: Command, local: LocalPlatform, quick: Project) -> str:
    pushed = json.loads(truss_train("push", quick("no-session", STEP_SECONDS="0.05"), "-o", "json").out)
    return str(pushed["training_job"]["id"])


def test_the_local_platform_has_no_sessions_and_says_so(truss_train: Command, job_id: str, quick: Project) -> None:
    truss_train("isession", "--job-id", job_id).is_refusal("no interactive sessions")
    truss_train("update-session", job_id, "--timeout-minutes", "5").is_refusal("no interactive sessions")
    truss_train("update_session", job_id).is_refusal("what to change")
    truss_train("workstation").is_refusal("no workstations")
    printed = truss_train("push", quick("inside"), "--interactive", "on_startup")
    printed.is_refusal("no interactive sessions", code=3)


def test_a_session_is_asked_for_or_changed_from_the_command_line(truss_train: Command, quick: Project) -> None:
    config = quick("inside")
    sent = json.loads(truss_train("push", config, "--dry-run", "-o", "json", "--interactive", "on_failure").out)
    session = sent["training_job"]["interactive_session"]
    assert (session["trigger"], session["timeout_minutes"]) == ("on_failure", 480)
    config.write_text(
        config.read_text().replace(
            "runtime=definitions.Runtime(",
            "interactive_session=definitions.InteractiveSession(trigger='on_startup'),\nruntime=definitions.Runtime(",
        )
    )
    changed = truss_train("push", config, "--dry-run", "-o", "json", "--interactive-timeout-minutes", "60")
    session = json.loads(changed.out)["training_job"]["interactive_session"]
    assert (session["trigger"], session["timeout_minutes"]) == ("on_startup", 60)


JOB = {
    "id": "j1", "name": "inside", "training_project_id": "p1", "training_project": {"id": "p1", "name": "p"},
    "created_at": "2026-01-02T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
    "current_status": "TRAINING_JOB_RUNNING",
}  # fmt: skip
SESSION = {
    "id": "s1", "trigger": "on_startup", "timeout_minutes": 60, "session_provider": "ssh", "auth_provider": "github",
    "pod_name": "pod",
}  # fmt: skip

CERTIFICATE = {
    "ssh_certificate": "ssh-ed25519-cert-v01@openssh.com BBBB", "jwt": "token", "proxy_address": "proxy.example.com",
    "ssh_cert_expires_at": "2026-01-02T00:00:00Z",
}  # fmt: skip


@pytest.fixture
def baseten(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """A stand-in for what the local platform does not have; returns what is changed there."""
    changes = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/search"):
            return httpx.Response(200, json={"training_jobs": [JOB]})
        if path.endswith("/auth_codes"):
            codes = [
                {"session_id": "s1", "replica_id": replica, "auth_code": f"code-{replica}", "auth_url": "https://there"}
                for replica in ("g00r0", "g00r1")
            ]
            return httpx.Response(200, json={"auth_codes": codes})
        changes.append((request.method, path, json.loads(request.content)))
        if path.endswith("/ssh/sign"):
            return httpx.Response(200, json=CERTIFICATE)
        return httpx.Response(200, json={"interactive_session": SESSION, "message": "Timeout extended."})

    def connect(remote: str, **_: Any) -> Client:
        there = Remote(name=remote, api_url="https://api.example.com", web_url="https://example.com", key="k")  # type: ignore[arg-type]
        return Client(there, transport=httpx.MockTransport(answer))

    monkeypatch.setattr("truss_train_core.cli.sessions.connect", connect)
    return changes


def test_who_may_sign_in_is_shown_and_a_session_of_many_replicas_changed_once(
    truss_train: Command, baseten: list[tuple[str, str, dict[str, Any]]]
) -> None:
    shown = truss_train("isession", "--job-id", "inside")
    assert shown.code == 0, shown.err
    assert all(word in shown.out for word in ("code-g00r0", "code-g00r1", "https://there"))
    assert baseten == []
    assert truss_train("update-session", "inside", "--timeout-minutes", "60").err == "Timeout extended.\n"
    path = "/v1/training_projects/p1/jobs/j1/interactive_sessions/s1"
    assert baseten == [("PATCH", path, {"timeout_minutes": 60})]
    changed = truss_train("isession", "--job-id", "inside", "--update-trigger", "on_failure", "-o", "json")
    assert len(json.loads(changed.out)["auth_codes"]) == 2
    assert baseten[1:] == [("PATCH", path, {"trigger": "on_failure"})]


def test_a_workstation_sleeps_and_opens_for_ssh() -> None:
    compute = definitions.Compute(node_count=2, accelerator="B300:8")
    project = workstation_project("w", compute, None, definitions.CheckpointingConfig(), None)
    body = project.job.wire_body()
    assert body["runtime"]["start_commands"] == ["sleep infinity"]
    assert body["interactive_session"]["trigger"] == "on_startup"
    assert body["interactive_session"]["session_provider"] == "ssh"
    assert body["image"]["base_image"].startswith("nvidia/cuda:13")
    assert ssh_hosts("j", 2, "baseten") == ["training-job-j-0.ssh.baseten.co", "training-job-j-1.ssh.baseten.co"]
    assert ssh_hosts("j", 1, "other") == ["training-job-j-0.other.ssh.baseten.co"]


@pytest.fixture
def public_key(tmp_path: Path) -> Path:
    path = tmp_path / "id_ed25519.pub"
    path.write_text("ssh-ed25519 AAAA somebody\n")
    return path


def test_a_key_is_signed_for_a_node(
    truss_train: Command, baseten: list[tuple[str, str, dict[str, Any]]], public_key: Path
) -> None:
    signing = ("sign-ssh-key", "--job-id", "inside", "--public-key", public_key, "--replica", "1")
    shown = truss_train(*signing)
    assert shown.out == "ssh-ed25519-cert-v01@openssh.com BBBB\n", shown.err
    assert "2026-01-02T00:00+00:00" in shown.err
    assert json.loads(truss_train(*signing, "-o", "json").out)["proxy_address"] == "proxy.example.com"
    body = {"public_key": "ssh-ed25519 AAAA somebody", "replica_id": "1"}
    assert baseten == [("POST", "/v1/training_projects/p1/jobs/j1/ssh/sign", body)] * 2


def test_a_private_key_is_not_sent(truss_train: Command, public_key: Path) -> None:
    public_key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")
    refused = truss_train("sign-ssh-key", "--job-id", "j", "--public-key", public_key)
    refused.is_refusal("is not an SSH public key")
    assert "secret" not in refused.err


def test_the_local_platform_signs_no_key_and_says_so(truss_train: Command, job_id: str, public_key: Path) -> None:
    refused = truss_train("sign-ssh-key", "--job-id", job_id, "--public-key", public_key)
    refused.is_refusal("no interactive sessions", code=3)


def test_a_cluster_is_made_with_the_scripts_of_truss(
    truss_train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadOptions, match="scripts of the truss package"):
        slurm_scripts()
    folder = tmp_path / "truss" / "templates" / "workstation"
    folder.mkdir(parents=True)
    (tmp_path / "truss" / "__init__.py").touch()
    (folder / "setup_slurm.sh").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert slurm_scripts() == [folder / "setup_slurm.sh"]


def test_options_of_a_workstation_that_do_not_go_together(truss_train: Command, local: LocalPlatform) -> None:
    truss_train("workstation", "--gpu-count", "2", "--node-count", "2").is_refusal("--gpu-count", "--node-count")
    truss_train("workstation", "--orchestrator", "slurm").is_refusal("several nodes")
    truss_train("workstation", "--orchestrator", "slurm", "--node-count", "2").is_refusal("no workstations")
    truss_train("workstation", "--accelerator", "H1000").is_refusal("H1000")
