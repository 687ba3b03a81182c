"""Interactive sessions and workstations: what is sent to Baseten, and how the local platform refuses them."""

import json
from typing import Any

import httpx
import pytest
from command_line import Command, Project

from truss_train_core import Client, definitions
from truss_train_core.cli.sessions import ssh_hosts, workstation_project
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


def test_options_of_a_workstation_that_do_not_go_together(truss_train: Command, local: LocalPlatform) -> None:
    truss_train("workstation", "--gpu-count", "2", "--node-count", "2").is_refusal("--gpu-count", "--node-count")
    truss_train("workstation", "--accelerator", "H1000").is_refusal("H1000")
