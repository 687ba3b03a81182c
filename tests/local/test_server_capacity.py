"""Who may use how much, and why a job waited for it."""

from __future__ import annotations

from typing import Any

import pytest
from served_platform import Served

from truss_train_core.local.server.database import StatusChange

FOUR, EIGHT = ({"accelerator": {"accelerator": "H100", "count": count}} for count in (4, 8))
CREATED, RUNNING, COMPLETED = "TRAINING_JOB_CREATED", "TRAINING_JOB_RUNNING", "TRAINING_JOB_COMPLETED"
PENDING, DEPLOYING = "TRAINING_JOB_PENDING", "TRAINING_JOB_DEPLOYING"


def team(platform: Served, name: str = "local") -> str:
    (found,) = platform.call("GET", "/v1/teams", name=name)["teams"]
    return str(found["id"])


def project_of(platform: Served, team_name: str) -> str:
    body = {"training_project": {"name": f"of {team_name}", "team_name": team_name}}
    return str(platform.call("POST", "/v1/training_projects", body)["training_project"]["id"])


def limit(platform: Served, team_id: str, gpus: int, gpu_type: str = "H100") -> dict[str, Any]:
    body = {"team_id": team_id, "gpu_type": gpu_type, "max_gpus": gpus}
    return dict(platform.call("PATCH", "/v1/training/capacity", body)["team_gpu_capacity"])


def end(platform: Served, job: str) -> None:
    platform.runner.set(job, "completed")
    platform.move_on()
    platform.move_on()


# ---------------------------------------------------------------- limits of teams


def test_a_team_at_its_limit_waits_while_another_starts(platform: Served) -> None:
    project, other = platform.project(), project_of(platform, "vision")
    limit(platform, team(platform), 4)
    first = platform.running_job(project, compute=FOUR)
    held = platform.job(project, compute=FOUR)
    free = platform.job(other, compute=FOUR)

    assert (held["current_status"], free["current_status"]) == (PENDING, CREATED)
    assert "its team uses 4 of the 4 that it may" in platform.look(project, held["id"])["error_message"]
    end(platform, first)
    assert platform.status(project, held["id"]) == DEPLOYING


def test_a_limit_that_is_raised_lets_go_what_waited_for_it(platform: Served) -> None:
    project = platform.project()
    limit(platform, team(platform), 4)
    job = platform.job(project, compute=EIGHT)["id"]
    assert "it cannot start" in platform.look(project, job)["error_message"]

    limit(platform, team(platform), 8)
    platform.move_on()
    assert platform.status(project, job) == DEPLOYING


def test_limits_are_listed_with_what_is_in_use(platform: Served) -> None:
    platform.running_job(platform.project(), compute=FOUR)
    platform.running_job(project_of(platform, "vision"), compute={**FOUR, "availability_model": "spot"})
    set_ = limit(platform, team(platform, "vision"), 6)

    told = platform.call("GET", "/v1/training/capacity")
    assert told["team_gpu_capacities"] == [set_]
    assert (set_["team_name"], set_["limit"], set_["usage_count"], set_["spot_usage_count"]) == ("vision", 6, 4, 4)
    (whole,) = told["gpu_capacities"]
    assert (whole["usage_count"], whole["dedicated_usage_count"], whole["spot_usage_count"]) == (8, 4, 4)


def test_a_limit_names_a_team_and_a_type_that_there_are(platform: Served) -> None:
    known = team(platform)

    def refused(expect: int, **change: Any) -> str:
        body = {"team_id": known, "gpu_type": "H100", "max_gpus": 1, **change}
        return str(platform.call("PATCH", "/v1/training/capacity", body, expect=expect)["message"])

    assert f"no team 'nowhere'; there are {known}" in refused(404, team_id="nowhere")
    assert "'H1000' is not one of" in refused(400, gpu_type="H1000")
    assert "max_gpus" in refused(400, max_gpus=-1)
    assert limit(platform, known, 2, "A100-40GB")["gpu_type"] == "A100_40GB"


# ---------------------------------------------------------------- why a job waited


def context(platform: Served, job: str) -> dict[str, Any]:
    return dict(platform.call("GET", f"/v1/training/jobs/{job}/queue_context"))


def test_a_job_is_told_who_held_the_capacity_and_who_was_ahead(platform: Served) -> None:
    project = platform.project()
    platform.running_job(project, compute={"cpu_count": 4})
    ended = platform.running_job(project, compute=EIGHT)
    end(platform, ended)
    holder = platform.running_job(project, compute=EIGHT)
    platform.job(project, compute=FOUR, name="ahead", priority=3)
    platform.job(project, compute=FOUR, priority=-1)
    job = platform.job(project, compute=FOUR, name="mine")["id"]
    platform.job(project, compute=FOUR)

    told = context(platform, job)
    assert (told["target_job_id"], told["target_job_name"], told["requested_gpus"]) == (job, "mine", 4)
    assert [(each["training_job_id"], each["status_at_submit"]) for each in told["active_at_submit"]] == [
        (holder, RUNNING)
    ]
    assert [(each["training_job_name"], each["priority"]) for each in told["pending_ahead_at_submit"]] == [("ahead", 3)]
    assert (told["org_capacity"]["max_gpus"], told["team_capacity"]) == (8, None)
    assert (told["released_at"], told["pending_seconds"]) == (None, None)


def test_events_tell_what_became_of_them_until_the_job_could_go(platform: Served) -> None:
    project = platform.project()
    holder = platform.running_job(project, compute=EIGHT)
    job = platform.job(project, compute=EIGHT)["id"]
    limit(platform, team(platform), 8)
    end(platform, holder)

    told = context(platform, job)
    assert [(each["training_job_id"], each["status"]) for each in told["events"]] == [
        (job, PENDING),
        (holder, COMPLETED),
        (job, CREATED),
    ]
    assert told["released_at"] == told["events_window_end"] == told["events"][-1]["created"]
    assert told["pending_seconds"] == 0
    assert told["team_capacity"]["max_gpus"] == 8


def test_a_job_without_gpus_waits_for_cores(platform: Served) -> None:
    project = platform.project()
    platform.running_job(project, compute={"cpu_count": 3})
    told = context(platform, platform.job(project, compute={"cpu_count": 2})["id"])

    assert (told["gpu_type"], told["requested_gpus"], told["active_at_submit"][0]["total_gpus"]) == ("CPU", 2, 3)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_job_that_is_not_there_has_no_queue(platform: Served, deleted: bool) -> None:
    project = platform.project()
    job = platform.running_job(project) if deleted else "nowhere"
    if deleted:
        platform.call("DELETE", f"/v1/training_projects/{project}/jobs/{job}")

    answer = platform.call("GET", f"/v1/training/jobs/{job}/queue_context", expect=404)
    assert answer["message"] == f"There is no training job '{job}'."


def test_the_history_of_a_job_goes_with_it(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project)
    platform.call("DELETE", f"/v1/training_projects/{project}/jobs/{job}")
    platform.runner.set(job, "stopped")
    platform.move_on()

    with platform.platform.database.reading() as session:
        assert session.query(StatusChange).count() == 0
