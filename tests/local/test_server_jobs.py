from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from served_platform import Served, served

from truss_train_core.local.server.database import Job, Project


def test_a_project_is_made_once_for_a_name(platform: Served) -> None:
    first = platform.call("POST", "/v1/training_projects", {"training_project": {"name": "digits"}})
    again = platform.call("POST", "/v1/training_projects", {"training_project": {"name": "digits"}})

    assert first == again == platform.call("GET", f"/v1/training_projects/{first['training_project']['id']}")
    assert [p["name"] for p in platform.call("GET", "/v1/training_projects")["training_projects"]] == ["digits"]


def test_a_team_that_a_project_names_is_made(platform: Served) -> None:
    body = {"training_project": {"name": "digits", "team_name": "vision"}}
    team_name = platform.call("POST", "/v1/training_projects", body)["training_project"]["team_name"]

    assert team_name == "vision"
    assert {team["name"] for team in platform.call("GET", "/v1/teams")["teams"]} == {"local", "vision"}


def test_a_jobs_statuses_follow_its_state_and_never_go_back(platform: Served) -> None:
    project = platform.project()
    job = platform.job(project)["id"]
    seen = [platform.status(project, job)]
    platform.move_on()
    for phase in ("deploying", "running", "submitted", "completed", "running"):
        platform.runner.set(job, phase)
        platform.move_on()
        seen.append(platform.status(project, job))

    created, deploying = "TRAINING_JOB_CREATED", "TRAINING_JOB_DEPLOYING"
    running, completed = "TRAINING_JOB_RUNNING", "TRAINING_JOB_COMPLETED"
    assert seen == [created, deploying, running, running, completed, completed]


def test_a_job_comes_with_its_project_and_the_latest_job_of_that(platform: Served) -> None:
    project, other = platform.project(), platform.project("other")
    first, second = platform.job(project)["id"], platform.job(project)["id"]
    platform.job(other)

    def looked_at(job: str) -> tuple[str, str]:
        answer = platform.call("GET", f"/v1/training_projects/{project}/jobs/{job}")
        assert (
            answer["training_project"] == platform.call("GET", f"/v1/training_projects/{project}")["training_project"]
        )
        return answer["training_job"]["id"], answer["training_project"]["latest_job"]["id"]

    assert (looked_at(first), looked_at(second)) == ((first, second), (second, second))

    platform.call("DELETE", f"/v1/training_projects/{project}/jobs/{second}")

    assert looked_at(first) == (first, first)
    for project_of, job in ((project, second), (other, first), (project, "none"), ("none", first)):
        platform.call("GET", f"/v1/training_projects/{project_of}/jobs/{job}", expect=404)


def test_a_failure_carries_the_cause(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project)
    platform.runner.set(job, "failed", error_message="exit code 3\nTraceback …")
    platform.move_on()

    looked = platform.look(project, job)
    assert (looked["current_status"], looked["error_message"]) == ("TRAINING_JOB_FAILED", "exit code 3\nTraceback …")


def test_a_job_waits_for_capacity_and_is_told_what_for(platform: Served) -> None:
    project = platform.project()
    compute = {"accelerator": {"accelerator": "H100", "count": 8}}
    first = platform.running_job(project, compute=compute)
    second = platform.job(project, compute=compute)

    assert second["current_status"] == "TRAINING_JOB_PENDING"
    assert "8 of 8 in use" in platform.look(project, second["id"])["error_message"]
    platform.runner.set(first, "completed")
    platform.move_on()
    platform.move_on()
    assert platform.look(project, second["id"])["current_status"] == "TRAINING_JOB_DEPLOYING"
    assert platform.look(project, second["id"])["error_message"] is None


def test_priority_can_be_changed_while_a_job_waits_and_not_later(platform: Served) -> None:
    project = platform.project()
    compute = {"accelerator": {"accelerator": "H100", "count": 8}}
    running = platform.running_job(project, compute=compute)
    older = platform.job(project, compute=compute)["id"]
    younger = platform.job(project, compute=compute)["id"]
    path = f"/v1/training_projects/{project}/jobs/{{}}"

    answer = platform.call("PATCH", path.format(younger), {"priority": 7, "availability_model": "spot"})
    assert (answer["training_job"]["priority"], answer["training_job"]["availability_model"]) == (7, "spot")
    refused = platform.call("PATCH", path.format(running), {"priority": 1}, expect=400)
    assert "only a pending job" in refused["message"]
    platform.runner.set(running, "completed")
    platform.move_on()
    assert platform.status(project, younger) == "TRAINING_JOB_DEPLOYING"
    assert platform.status(project, older) == "TRAINING_JOB_PENDING"


def test_a_waiting_job_is_stopped_at_once(platform: Served) -> None:
    project = platform.project()
    compute = {"accelerator": {"accelerator": "H100", "count": 8}}
    platform.running_job(project, compute=compute)
    job = platform.job(project, compute=compute)["id"]

    stopped = platform.call("POST", f"/v1/training_projects/{project}/jobs/{job}/stop", {})["training_job"]
    assert (stopped["current_status"], stopped["error_message"]) == ("TRAINING_JOB_STOPPED", None)
    platform.move_on()
    assert job not in platform.runner.specs


def test_a_job_is_not_started_after_it_was_stopped(platform: Served) -> None:
    project = platform.project()
    job = platform.job(project)["id"]
    platform.call("POST", f"/v1/training_projects/{project}/jobs/{job}/stop", {})
    platform.move_on()

    assert platform.status(project, job) == "TRAINING_JOB_STOPPED"
    assert platform.runner.specs == {}


def test_a_running_job_is_stopped_by_its_runner(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project)
    stop = f"/v1/training_projects/{project}/jobs/{job}/stop"

    assert platform.call("POST", stop, {})["training_job"]["current_status"] == "TRAINING_JOB_RUNNING"
    assert platform.runner.stops == [(job, "stopped")]
    platform.runner.set(job, "stopped")
    platform.move_on()
    assert platform.call("POST", stop, {})["training_job"]["current_status"] == "TRAINING_JOB_STOPPED"
    assert len(platform.runner.stops) == 1


def test_only_a_running_spot_job_is_preempted(platform: Served) -> None:
    project = platform.project()
    spot = platform.running_job(project, compute={"availability_model": "spot"})
    dedicated = platform.running_job(project)
    path = "/v1/local/jobs/{}/preempt"

    assert "only spot jobs" in platform.call("POST", path.format(dedicated), expect=409)["message"]
    platform.call("POST", path.format(spot))
    assert platform.runner.stops == [(spot, "preempted")]
    platform.runner.set(spot, "preempted")
    platform.move_on()
    assert platform.status(project, spot) == "TRAINING_JOB_PREEMPTED"
    assert "nothing to take away" in platform.call("POST", path.format(spot), expect=409)["message"]
    platform.call("POST", path.format("nowhere"), expect=404)


def test_checkpoints_are_syncing_until_the_last_is_copied(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project, runtime={"checkpointing_config": {"enabled": True}})
    seen = [platform.look(project, job)["checkpoint_sync_status"]]
    for syncing in (True, False):
        platform.runner.set(job, "completed", syncing=syncing)
        platform.move_on()
        seen.append(platform.look(project, job)["checkpoint_sync_status"])

    assert seen == ["SYNCING", "SYNCING", "COMPLETED"]


def test_a_checkpoint_that_could_not_be_copied_is_mentioned(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project, runtime={"checkpointing_config": {"enabled": True}})
    platform.runner.set(job, "completed", syncing=False, sync_error="No space left on device")
    platform.move_on()

    looked = platform.look(project, job)
    assert looked["current_status"] == "TRAINING_JOB_COMPLETED"
    assert "No space left on device" in looked["error_message"]


def test_what_cannot_be_started_says_why(platform: Served) -> None:
    platform.runner.refuses = OSError("no such interpreter")
    project = platform.project()
    job = platform.job(project)["id"]
    platform.move_on()

    looked = platform.look(project, job)
    assert looked["current_status"] == "TRAINING_JOB_DEPLOY_FAILED"
    assert "no such interpreter" in looked["error_message"]


def test_a_job_gets_what_its_definition_says(platform: Served) -> None:
    platform.call("POST", "/v1/secrets", {"name": "token", "value": "s3cret"})
    project = platform.project()
    job = platform.running_job(
        project,
        name="tuned",
        compute={"node_count": 2, "accelerator": {"accelerator": "H100", "count": 2, "newer_1": 1}, "newer_2": 2},
        enable_baseten_workdir=True,
        image={
            "base_image": "python:3.12",
            "docker_auth": {
                "registry": "r",
                "auth_method": "REGISTRY_SECRET",
                "registry_secret_docker_auth": {"secret_ref": {"name": "login", "newer_3": 3}},
                "newer_4": 4,
            },
        },
        runtime={
            "start_commands": ["python train.py"],
            "environment_variables": {"EPOCHS": "3", "TOKEN": {"name": "token"}},
            "cache_config": {"enabled": True, "enable_legacy_hf_mount": True},
            "load_checkpoint_config": {"checkpoints": [{"checkpoint_name": "c", "job_id": "j", "newer_5": 5}]},
        },
        weights=[{"source": "hf://org/model", "mount_location": "/weights"}],
        brand_new_field=1,
        truss_user_env={"python_version": "3.11"},
    )

    spec = platform.runner.specs[job]
    assert (spec.job_name, spec.project_name, spec.node_count, spec.gpus) == ("tuned", "digits", 2, 2)
    assert spec.environment == {"EPOCHS": "3", "TOKEN": "s3cret"}
    assert spec.secrets == ("s3cret",)
    assert spec.start_commands == ("python train.py",)
    assert spec.project_cache
    assert spec.legacy_hf_cache
    notices = "\n".join(spec.notices)
    for words in ("python:3.12 is not used", "2 H100 per node", "hf://org/model is not fetched", "brand_new_field"):
        assert words in notices
    newer = ("AcceleratorSpec", "Compute", "SecretReference", "DockerAuth", "NamedCheckpointReference")
    for number, owner in enumerate(newer, start=1):
        assert f"{owner}.newer_{number}" in notices
    assert "truss_user_env" not in notices
    assert "s3cret" not in repr(spec)


@pytest.mark.parametrize(
    ("training_job", "words"),
    [
        ({"image": {}}, "training_job.image.base_image"),
        ({"compute": {"accelerator": {"accelerator": "H1000", "count": 1}}}, "training_job.compute.accelerator"),
        ({"compute": {"accelerator": {"accelerator": "H100", "count": 9}}}, "use more nodes"),
        ({"compute": {"node_count": 0}}, "training_job.compute.node_count"),
        ({"compute": {"node_count": 10**12}}, "training_job.compute.node_count"),
        ({"priority": 10**30}, "training_job.priority"),
        ({"runtime": {"environment_variables": {"T": {"name": "gone"}}}}, "there is no secret 'gone'. Add it first"),
        ({"runtime": {"artifacts": [{"s3_bucket": "b", "s3_key": "k"}]}}, "'k' was not uploaded"),
        ({"interactive_session": {"trigger": "on_startup"}}, "no interactive sessions"),
        ({"runtime": {"load_checkpoint_config": {"enabled": True}}}, "this project has no complete checkpoint"),
    ],
)
def test_a_bad_definition_is_refused_and_nothing_is_created(
    platform: Served, training_job: dict[str, Any], words: str
) -> None:
    project = platform.project()
    body = {"training_job": {"image": {"base_image": "python:3.12"}, **training_job}}
    refused = platform.call("POST", f"/v1/training_projects/{project}/jobs", body, expect=400)

    assert refused["code"] == "VALIDATION_ERROR"
    assert words in refused["message"]
    assert platform.call("POST", "/v1/training_jobs/search", {})["training_jobs"] == []


def test_an_error_does_not_repeat_what_was_sent(platform: Served) -> None:
    project = platform.project()
    body = {"training_job": {"image": {"base_image": "x"}, "runtime": {"environment_variables": {"KEY": ["hunter2"]}}}}
    answer = platform.call("POST", f"/v1/training_projects/{project}/jobs", body, expect=400)

    assert "KEY" in answer["message"]
    assert "hunter2" not in answer["message"]


def test_a_job_without_a_session_has_no_codes_no_session_and_no_login(platform: Served) -> None:
    project = platform.project()
    path = f"/v1/training_projects/{project}/jobs/{platform.running_job(project)}"
    key = {"public_key": "ssh-ed25519 AAAA", "replica_id": "0"}

    assert platform.call("GET", f"{path}/auth_codes") == {"auth_codes": []}
    update = platform.call("PATCH", f"{path}/interactive_sessions/s1", {"timeout_minutes": 60}, expect=404)
    assert "no interactive session 's1'" in update["message"]
    update = platform.call("PATCH", f"{path}/interactive_session", {"timeout_minutes": 60}, expect=404)
    assert "no interactive session:" in update["message"]
    assert "no interactive sessions" in platform.call("POST", f"{path}/ssh/sign", key, expect=400)["message"]
    assert "public_key" in platform.call("POST", f"{path}/ssh/sign", {}, expect=400)["message"]
    platform.call("GET", f"/v1/training_projects/{project}/jobs/nowhere/auth_codes", expect=404)


def test_jobs_are_found_by_status_project_and_id(platform: Served) -> None:
    one, two = platform.project("one"), platform.project("two")
    first, second = platform.running_job(one), platform.job(two)["id"]
    third = platform.job(one)["id"]

    def search(**body: Any) -> list[str]:
        found = platform.call("POST", "/v1/training_jobs/search", body)["training_jobs"]
        return [job["id"] for job in found]

    assert search() == [third, second, first]
    assert search(order_by=[{"field": "created_at", "order": "asc"}]) == [first, second, third]
    assert search(project_id=one) == [third, first]
    assert search(job_id=second) == [second]
    assert search(statuses=["TRAINING_JOB_RUNNING"]) == [first]
    assert search(statuses=[]) == []
    latest = {
        p["name"]: p["latest_job"]["id"] for p in platform.call("GET", "/v1/training_projects")["training_projects"]
    }
    assert latest == {"one": third, "two": second}
    listed = platform.call("GET", f"/v1/training_projects/{one}/jobs")
    assert [job["id"] for job in listed["training_jobs"]] == [third, first]


def test_a_recreated_job_has_the_same_definition(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project, name="tuned", runtime={"start_commands": ["true"]})
    again = platform.call("POST", f"/v1/training_projects/{project}/jobs/{job}/recreate", {})["training_job"]
    platform.move_on()

    assert again["id"] != job
    assert again["name"] == "tuned"
    assert platform.runner.specs[again["id"]].start_commands == ("true",)


def test_a_deleted_job_is_hidden_stopped_and_then_removed(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project)
    platform.store(project, job, "checkpoint-1")
    path = f"/v1/training_projects/{project}/jobs/{job}"

    assert platform.call("DELETE", path) == {"id": job, "training_project_id": project, "deleted": True}
    assert platform.runner.stops == [(job, "stopped")]
    platform.call("GET", path, expect=404)
    directory = platform.platform.data.job(job)
    platform.move_on()
    assert directory.exists()
    platform.runner.set(job, "stopped")
    platform.move_on()
    assert not directory.exists()
    assert not platform.platform.data.checkpoints(project, job).exists()
    assert rows(platform, Job) == 0


def test_a_deleted_project_takes_its_jobs_and_its_cache_along(platform: Served) -> None:
    project = platform.project()
    job = platform.running_job(project, runtime={"cache_config": {"enabled": True}})
    cache = platform.platform.data.project_cache(project)
    cache.mkdir(parents=True)

    platform.call("DELETE", f"/v1/training_projects/{project}")
    platform.call("GET", f"/v1/training_projects/{project}", expect=404)
    fresh = platform.project()
    assert fresh != project
    platform.runner.set(job, "stopped")
    platform.move_on()
    platform.move_on()
    assert not cache.exists()
    assert rows(platform, Project) == 1


def test_capacity_tells_what_is_in_use(platform: Served) -> None:
    compute = {"accelerator": {"accelerator": "H100", "count": 2}, "node_count": 2, "availability_model": "spot"}
    platform.running_job(platform.project(), compute=compute)

    (h100,) = platform.call("GET", "/v1/training/capacity")["gpu_capacities"]
    assert (h100["gpu_type"], h100["limit"], h100["usage_count"], h100["spot_usage_count"]) == ("H100", 8, 4, 4)


def test_a_restarted_server_goes_on_where_it_was(tmp_path: Path) -> None:
    with served(tmp_path) as before:
        project = before.project()
        running, created = before.running_job(project), before.job(project)["id"]
        states, key = before.runner.states, before.platform.api_key
    with served(tmp_path) as after:
        after.runner.states.update(states)
        directory = after.platform.data.job(running)
        after.runner.states[directory] = states[directory].model_copy(update={"phase": "completed"})
        after.move_on()

        assert after.platform.api_key == key
        assert after.status(project, running) == "TRAINING_JOB_COMPLETED"
        assert created in after.runner.specs
        assert running not in after.runner.specs


def test_a_search_over_ten_thousand_jobs_is_quick(platform: Served) -> None:
    project = platform.project()
    with platform.platform.database.writing() as session:
        session.add_all(
            Job(
                project_id=project, name=f"job-{number}", created_at=float(number), updated_at=float(number),
                status="TRAINING_JOB_COMPLETED", availability_model="dedicated", node_count=1, instance_type="1x2",
                pool="CPU", demand=1, body={}, loaded=[],
            )
            for number in range(10_000)
        )  # fmt: skip
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        answer = platform.http.post("/v1/training_jobs/search", json={})
        taken.append(time.perf_counter() - began)
        assert answer.content.count(b"TRAINING_JOB_COMPLETED") == 10_000

    assert min(taken) < 1.0  # about 0.2 on an idle machine; the limit only tells seconds from a fraction of one


def rows(platform: Served, table: type[Any]) -> int:
    with platform.platform.database.reading() as session:
        return session.query(table).count()
