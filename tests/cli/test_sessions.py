"""Interactive sessions and workstations: what is sent to Baseten, and how the local platform refuses them."""

import json

import pytest
from command_line import Command, Project

from truss_train_core import definitions
from truss_train_core.cli.sessions import ssh_hosts, workstation_project
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
