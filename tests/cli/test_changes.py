"""Waiting for jobs, changing them and going on from them, against a real local platform."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Command, Project
from terminal import TRUSS_TRAIN, on_a_terminal

from truss_train_core.testing import LocalPlatform

FOREVER = "1000"


def pushed(truss_train: Command, config: Path) -> str:
    printed = truss_train("push", config, "-o", "json")
    assert printed.code == 0, printed.err
    return str(json.loads(printed.out)["training_job"]["id"])


@pytest.fixture
def running(
    truss_train: Command, local: LocalPlatform, quick: Project, request: pytest.FixtureRequest
) -> Iterator[str]:
    """A job that does not end by itself."""
    job_id = pushed(truss_train, quick(re.sub(r"\W", "-", request.node.name)[:30], STEP_SECONDS=FOREVER))
    yield job_id
    truss_train("delete", "--job-id", job_id, "--yes")


# ---------------------------------------------------------------- wait, watch, view


def test_wait_ends_well_when_all_jobs_complete(truss_train: Command, local: LocalPlatform, quick: Project) -> None:
    first, second = (pushed(truss_train, quick(name, STEP_SECONDS="0.05")) for name in ("wait-1", "wait-2"))
    printed = truss_train("wait", first, "wait-2", "-o", "json")
    assert printed.code == 0, printed.err
    assert {job["id"]: job["current_status"] for job in json.loads(printed.out)} == dict.fromkeys(
        [first, second], "TRAINING_JOB_COMPLETED"
    )


def test_wait_fails_when_one_job_does(truss_train: Command, local: LocalPlatform, quick: Project) -> None:
    good, bad = (
        pushed(truss_train, quick("w-good", STEP_SECONDS="0.05")),
        pushed(truss_train, quick("w-bad", FAIL_AT="1")),
    )
    printed = truss_train("wait", good, bad)
    assert printed.code == 1
    assert f"job w-bad ({bad})" in printed.err[printed.err.index("Error: ") :]
    assert "completed" in printed.out


def test_a_wait_that_takes_too_long_leaves_the_job_running(truss_train: Command, running: str) -> None:
    printed = truss_train("wait", running, "--timeout", "0.1")
    assert printed.code == 1
    assert "goes on and may cost money" in printed.err
    assert running in truss_train("jobs").out


def test_watch_draws_a_table_of_the_jobs_until_ctrl_c(truss_train: Command, running: str) -> None:
    with on_a_terminal("watch") as (process, screen):
        screen.until(running)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert "\x1b[?25h" in screen.rest()  # the cursor is back


def test_watch_tells_a_program_of_changes_without_a_terminal(local: LocalPlatform, running: str) -> None:
    command = [str(TRUSS_TRAIN), "watch", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            first = json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
        assert (first["event"], first["training_job"]["id"]) == ("JobChanged", running)
        assert process.wait(timeout=60) == 0


def test_view_shows_projects_and_active_jobs(truss_train: Command, running: str) -> None:
    document = json.loads(truss_train("view", "-o", "json").out)
    assert running in [job["id"] for job in document["jobs"]]
    assert running in [project["latest_job"]["id"] for project in document["projects"] if project["latest_job"]]
    name = document["jobs"][0]["training_project"]["name"]
    assert name in truss_train("view", "--project-id", name).out


# ---------------------------------------------------------------- recreate, update, delete


def test_a_recreated_job_has_the_same_files(truss_train: Command, local: LocalPlatform, quick: Project) -> None:
    first = pushed(truss_train, quick("again", STEP_SECONDS="0.05"))
    printed = truss_train("recreate", "--job-id", first, "--tail")
    assert printed.code == 0, printed.err
    assert "step 5/5" in printed.out
    jobs = json.loads(truss_train("jobs", "--project", "again", "--all", "-o", "json").out)
    assert len(jobs) == 2


def test_a_job_that_waits_is_moved_in_the_queue(truss_train: Command, local: LocalPlatform, quick: Project) -> None:
    none_left = ("capacity", "update", "--team", "local", "--gpu-type", "H200", "--capacity", "0")
    assert truss_train(*none_left).code == 0
    job_id = json.loads(truss_train("push", quick("queued"), "--accelerator", "H200", "-o", "json").out)[
        "training_job"
    ]["id"]
    changes = ("--priority", "7", "--availability-model", "dedicated")
    printed = truss_train("update", "--job-id", job_id, *changes, "-o", "json")
    assert printed.code == 0, printed.err
    job = json.loads(printed.out)
    assert (job["priority"], job["availability_model"]) == (7, "dedicated")
    assert truss_train("delete", "--job-id", job_id, "--yes").code == 0


def test_capacity_shows_the_limits_of_teams(truss_train: Command, local: LocalPlatform) -> None:
    assert truss_train("capacity", "update", "--team", "local", "--gpu-type", "B200", "--capacity", "5").code == 0
    document = json.loads(truss_train("capacity", "view", "-o", "json").out)
    assert ("B200", 5) in [(each["gpu_type"], each["limit"]) for each in document["team_gpu_capacities"]]
    assert "B200" in truss_train("capacity", "view").out
    truss_train("capacity", "update", "--team", "x", "--gpu-type", "B200", "--capacity", "5").is_refusal("'x'")


def test_a_deleted_job_is_gone_and_what_ran_is_stopped(truss_train: Command, running: str) -> None:
    printed = truss_train("delete", "--job-id", running, "--yes", "-o", "json")
    assert json.loads(printed.out) == {"deleted": running}
    truss_train("logs", "--job-id", running).is_refusal(running)


def test_a_whole_project_is_deleted_when_the_person_says_so(
    truss_train: Command, local: LocalPlatform, quick: Project
) -> None:
    pushed(truss_train, quick("dropped", STEP_SECONDS="0.05"))
    with on_a_terminal("delete", "--whole-project", "dropped") as (process, screen):
        screen.until("its 1 jobs")
        screen.type("n\n")
        assert process.wait(timeout=30) == 130
    assert "dropped" in truss_train("view").out
    with on_a_terminal("delete", "--whole-project", "dropped") as (process, screen):
        screen.until("[y/N]")
        screen.type("y\n")
        screen.until("Deleted project dropped")
        assert process.wait(timeout=30) == 0
    assert "dropped" not in truss_train("view").out


# ---------------------------------------------------------------- best, resume


def test_best_prints_the_name_alone(truss_train: Command, local: LocalPlatform, quick: Project) -> None:
    job_id = pushed(truss_train, quick("best", STEP_SECONDS="0.05"))
    assert truss_train("wait", job_id).code == 0
    printed = truss_train("best", job_id, "--metric", "eval_loss", "--mode", "min")
    assert printed.out == "checkpoint-3\n"
    assert "eval_loss 0.5 is the smallest" in printed.err
    assert truss_train("best", job_id, "--metric", "bleu", "--mode", "max").code == 1


def test_a_job_goes_on_from_the_newest_checkpoint_of_another(
    truss_train: Command, local: LocalPlatform, quick: Project
) -> None:
    config = quick("goes-on", FAIL_ONCE_AT="4", STEP_SECONDS="0.05")
    broken = pushed(truss_train, config)
    assert truss_train("wait", broken).code == 1
    printed = truss_train("resume", broken, config, "--tail")
    assert printed.code == 0, printed.err
    assert "goes on from checkpoint-3" in printed.err
    assert "starting after step 3" in printed.out

    printed = truss_train("resume", broken, config, "--checkpoint", "checkpoint-1", "-o", "json")
    assert json.loads(printed.out)["started_from"] == {"job_id": broken, "name": "checkpoint-1", "step": 1}
    truss_train("resume", broken, config, "--checkpoint", "checkpoint-9").is_refusal("checkpoint-9", "checkpoint-3")


def test_a_job_without_checkpoints_is_not_resumed_and_how_to_start_again_is_said(
    truss_train: Command, local: LocalPlatform, quick: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick("no-start", FAIL_AT="1", STEP_SECONDS="0.05")
    broken = pushed(truss_train, config)
    assert truss_train("wait", broken).code == 1
    monkeypatch.chdir(config.parent)
    printed = truss_train("resume", broken)
    printed.is_refusal("there is none", code=1)
    assert "truss-train push config.py" in printed.err
    assert len(json.loads(truss_train("jobs", "--project", "no-start", "--all", "-o", "json").out)) == 1


# ---------------------------------------------------------------- refusals


def test_nothing_is_asked_where_there_is_no_terminal(truss_train: Command, running: str) -> None:
    truss_train("delete", "--job-id", running).is_refusal("without a yes", running)
    truss_train("recreate").is_refusal("without a yes")
    truss_train("watch").is_refusal("no terminal")
    assert running in truss_train("jobs").out


def test_what_is_not_said_is_not_guessed(truss_train: Command, local: LocalPlatform, quick: Project) -> None:
    truss_train("delete").is_refusal("Delete what")
    truss_train("delete", "--job-id", "x", "--whole-project", "y").is_refusal("Delete what")
    truss_train("update", "--job-id", "x").is_refusal("what to change")
    truss_train("best", "nosuch", "--metric", "a", "--mode", "min").is_refusal("nosuch")
    truss_train("wait", "nosuch").is_refusal("nosuch")


def test_a_job_that_runs_or_is_of_another_project_is_not_resumed(
    truss_train: Command, running: str, quick: Project
) -> None:
    other = quick("other-project")
    truss_train("resume", running, other).is_refusal("has not ended")
    truss_train("stop", "--job-id", running)
    assert truss_train("wait", running).code == 1
    truss_train("resume", running, other).is_refusal("other-project")
