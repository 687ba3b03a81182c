from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_platform import Served, now

from truss_train_core.local import samples
from truss_train_core.local.joblogs import LogWriter
from truss_train_core.local.runner import Sample


@pytest.fixture
def job(platform: Served) -> tuple[str, str]:
    project = platform.project()
    return project, platform.running_job(project, runtime={"checkpointing_config": {"enabled": True}})


def path(job: tuple[str, str], what: str) -> str:
    return f"/v1/training_projects/{job[0]}/jobs/{job[1]}/{what}"


# ---------------------------------------------------------------- logs


def test_logs_are_answered_to_get_and_post_newest_first(platform: Served, job: tuple[str, str]) -> None:
    directory = platform.platform.data.job(job[1])
    LogWriter(directory, 0).output(["one", "two", "ERROR three"])
    LogWriter(directory, 1).output(["four"])

    def read(**query: Any) -> list[str]:
        got = platform.call("GET", path(job, "logs"), **query)["logs"]
        assert platform.call("POST", path(job, "logs"), query)["logs"] == got
        return [line["message"].rstrip("\n") for line in got]

    assert read() == ["four", "ERROR three", "two", "one"]
    assert read(direction="asc", limit=2) == ["one", "two"]
    assert read(min_level="WARNING") == ["ERROR three"]
    millis = int(time.time() * 1000)
    assert read(start_epoch_millis=millis + 60_000, end_epoch_millis=millis + 90_000) == []
    line = platform.call("GET", path(job, "logs"))["logs"][0]
    assert (line["replica"], line["timestamp"].isdigit()) == ("g00r1", True)


def test_without_a_start_logs_are_of_the_half_hour_before_the_end(platform: Served, job: tuple[str, str]) -> None:
    LogWriter(platform.platform.data.job(job[1]), 0).output(["now"])
    later = int(time.time() * 1000) + 31 * 60_000

    assert platform.call("GET", path(job, "logs"), end_epoch_millis=later)["logs"] == []
    assert len(platform.call("GET", path(job, "logs"), end_epoch_millis=later - 2 * 60_000)["logs"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 1001},
        {"limit": 0},
        {"direction": "up"},
        {"min_level": "LOUD"},
        {"start_epoch_millis": 0},
        {"end_epoch_millis": "soon"},
    ],
)
def test_a_log_query_out_of_bounds_is_refused(platform: Served, job: tuple[str, str], query: dict[str, Any]) -> None:
    refused = platform.call("GET", path(job, "logs"), expect=400, **query)

    assert next(iter(query)) in refused["message"]


def test_a_log_is_complete_when_its_job_has_ended(platform: Served, job: tuple[str, str]) -> None:
    assert platform.call("GET", path(job, "logs"))["complete"] is False
    platform.call("POST", path(job, "stop"))
    assert platform.call("GET", path(job, "logs"))["complete"] is False, "its processes have not ended"
    platform.runner.set(job[1], "stopped")
    platform.move_on()
    assert platform.call("GET", path(job, "logs"))["complete"] is True


def test_a_job_that_does_not_exist_has_no_logs(platform: Served, job: tuple[str, str]) -> None:
    assert "nowhere" in platform.call("GET", path((job[0], "nowhere"), "logs"), expect=404)["message"]
    assert platform.call("GET", path(job, "logs"))["logs"] == []


# ---------------------------------------------------------------- metrics


def test_metrics_are_the_leaders_and_each_nodes(platform: Served, job: tuple[str, str]) -> None:
    directory = platform.platform.data.job(job[1])
    for rank, cores in ((0, 1.5), (1, 0.5)):
        sample = Sample(
            timestamp=now(), cpu_usage=cores, cpu_memory_usage_bytes=10, disk_usage_bytes=20, disk_utilization=0.25,
            cache_usage_bytes=5, gpu_utilization={"0": 0.9}, gpu_memory_usage_bytes={"0": 7},
        )  # fmt: skip
        file = samples.path_of(directory, rank)
        file.parent.mkdir(exist_ok=True)
        file.write_text(sample.model_dump_json() + "\n")

    answer = platform.call("GET", path(job, "metrics"))
    assert answer["cpu_usage"][0]["value"] == 1.5
    assert answer["gpu_utilization"]["0"][0]["value"] == 0.9
    assert answer["cache"]["usage_bytes"][0]["value"] == 5
    nodes = answer["per_node_metrics"]
    assert [(node["node_id"], node["metrics"]["cpu_usage"][0]["value"]) for node in nodes] == [
        ("g00r0", 1.5),
        ("g00r1", 0.5),
    ]
    later = {"start_epoch_millis": int(time.time() * 1000) + 60_000}
    assert platform.call("POST", path(job, "metrics"), later)["cpu_usage"] == []


# ---------------------------------------------------------------- checkpoints and their files


def test_checkpoints_are_listed_while_they_are_copied_their_files_when_they_are_complete(
    platform: Served, job: tuple[str, str]
) -> None:
    platform.store(*job, "checkpoint-1")
    platform.store(*job, "checkpoint-2", complete=False)

    listed = platform.call("GET", path(job, "checkpoints"))["checkpoints"]
    assert [(one["checkpoint_id"], one["sync_status"]) for one in listed] == [
        ("checkpoint-1", "COMPLETE"),
        ("checkpoint-2", "SYNCING"),
    ]
    assert listed[0]["size_bytes"] == 12
    files = platform.call("GET", path(job, "checkpoint_files"))
    assert [one["relative_file_name"] for one in files["presigned_urls"]] == [
        "checkpoint-1/config.json",
        "checkpoint-1/weights.bin",
    ]


def test_files_are_paged_by_integers_until_there_is_none(platform: Served, job: tuple[str, str]) -> None:
    for number in range(3):
        platform.store(*job, f"checkpoint-{number}")
    seen, token, pages = [], None, 0
    while pages == 0 or token is not None:
        query = {} if token is None else {"page_token": token}
        page = platform.call("GET", path(job, "checkpoint_files"), page_size=4, **query)
        seen += [one["relative_file_name"] for one in page["presigned_urls"]]
        token, pages = page["next_page_token"], pages + 1
        assert page["total_count"] == 6

    assert pages == 2
    assert len(set(seen)) == 6
    platform.call("GET", path(job, "checkpoint_files"), page_size=1001, expect=400)


def test_a_presigned_address_needs_no_key_and_answers_ranges(platform: Served, job: tuple[str, str]) -> None:
    platform.store(*job, "checkpoint-1")
    files = platform.call("GET", path(job, "checkpoint_files"))["presigned_urls"]
    url = next(one["url"] for one in files if one["relative_file_name"].endswith("weights.bin"))

    assert httpx.get(url).content == b"0123456789"
    part = httpx.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")


def test_an_address_that_was_altered_is_refused(platform: Served, job: tuple[str, str]) -> None:
    platform.store(*job, "checkpoint-1")
    url = platform.call("GET", path(job, "checkpoint_files"))["presigned_urls"][0]["url"]
    query = url.partition("?")[2]

    for altered in (
        url.replace("config.json", "weights.bin"),
        url.replace("expires=", "expires=9"),
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        f"{platform.url}/downloads/api-key?{query}",
        f"{platform.url}/downloads/checkpoints/..%2Fapi-key?{query}",
        url.partition("?")[0],
    ):
        assert httpx.get(altered).status_code == 403, altered


def test_an_address_expires_after_seven_days(platform: Served) -> None:
    presigner, made = platform.platform.presigner, 1_700_000_000.0
    url = httpx.URL(presigner.url(platform.url, "uploads/x", made))
    expires, signature = url.params["expires"], url.params["signature"]

    assert presigner.allows("uploads/x", expires, signature, made + 7 * 86400 - 1)
    assert not presigner.allows("uploads/x", expires, signature, made + 7 * 86400 + 1)


def test_the_cache_of_a_project_is_summarized(platform: Served, job: tuple[str, str]) -> None:
    summary = f"/v1/training_projects/{job[0]}/cache/summary"
    assert platform.call("GET", summary)["file_summaries"] == []
    cache: Path = platform.platform.data.project_cache(job[0])
    (cache / "hub").mkdir(parents=True)
    (cache / "hub" / "weights").write_bytes(b"12345")

    files = platform.call("GET", summary)["file_summaries"]
    assert [(one["path"], one["file_type"]) for one in files] == [("hub", "directory"), ("hub/weights", "file")]
    assert files[1]["size_bytes"] == 5


# ---------------------------------------------------------------- loading checkpoints into a new job


def loading(*checkpoints: dict[str, Any]) -> dict[str, Any]:
    return {"load_checkpoint_config": {"enabled": True, "checkpoints": list(checkpoints)}}


def latest(**of: str) -> dict[str, Any]:
    return {"typ": "baseten_latest_checkpoint", **of}


def named(job_id: str, name: str) -> dict[str, Any]:
    return {"typ": "baseten_named_checkpoint", "job_id": job_id, "checkpoint_name": name}


def test_latest_is_decided_and_pinned_when_the_job_is_created(platform: Served, job: tuple[str, str]) -> None:
    platform.store(*job, "checkpoint-1")
    platform.store(*job, "checkpoint-2")
    platform.store(*job, "checkpoint-3", complete=False)
    platform.running_job(job[0])  # the newest job of the project has no checkpoint
    created = [
        platform.job(job[0], runtime=loading(reference))["id"]
        for reference in (latest(project_name="digits"), latest(job_id=job[1]), latest())
    ]
    platform.store(*job, "checkpoint-4")
    for one in created:
        platform.move_on()
        platform.runner.set(one, "completed")

    loaded = [platform.runner.specs[one].loaded for one in created]
    assert [[(one.checkpoint_name, one.folder) for one in each] for each in loaded] == [[("checkpoint-2",) * 2]] * 3
    assert loaded[0][0].source == platform.platform.data.checkpoints(*job)


def test_a_name_without_a_job_means_the_newest_job_that_has_such_a_checkpoint(
    platform: Served, job: tuple[str, str]
) -> None:
    newer = platform.running_job(job[0])
    platform.store(*job, "checkpoint-1")
    platform.store(*job, "checkpoint-2")
    platform.store(job[0], newer, "checkpoint-1")
    platform.store(job[0], newer, "checkpoint-2", complete=False)
    wanted = [
        {"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-1", "project_name": "digits"},
        {"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-2", "job_id": None},
    ]
    new = platform.running_job(job[0], runtime=loading(*wanted))

    store = platform.platform.data.checkpoints
    loaded = [(one.source, one.checkpoint_name) for one in platform.runner.specs[new].loaded]
    assert loaded == [(store(job[0], newer), "checkpoint-1"), (store(*job), "checkpoint-2")]


def test_checkpoints_of_one_name_get_folders_of_their_own(platform: Served, job: tuple[str, str]) -> None:
    other = platform.running_job(job[0])
    platform.store(*job, "checkpoint-1")
    platform.store(job[0], other, "checkpoint-1")
    platform.store(job[0], other, "final[1]")
    runtime = loading(
        named(job[1], "checkpoint-1"), named(other, "checkpoint-1"), named(other, "final[1]"), latest(job_id=other)
    )
    new = platform.running_job(job[0], runtime=runtime)

    folders = [one.folder for one in platform.runner.specs[new].loaded]
    assert folders == [f"{job[1]}/checkpoint-1", f"{other}/checkpoint-1", "final[1]"]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (latest(project_name="nothing"), "no training project 'nothing'"),
        (latest(job_id="nowhere"), "no training job 'nowhere'"),
        (named("nowhere", "x"), "no training job 'nowhere'"),
        (named("{job}", "checkpoint-9"), "no checkpoint 'checkpoint-9'; it has checkpoint-1, checkpoint-2"),
        (named("{job}", "checkpoint-2"), "is still being copied"),
        (latest(project_name="other", job_id="{job}"), "not one of project 'other'"),
        ({**named("{job}", "checkpoint-1"), "project_name": "other"}, "not one of project 'other'"),
        (
            {"typ": "baseten_named_checkpoint", "checkpoint_name": "checkpoint-9"},
            "this project has no complete checkpoint 'checkpoint-9'",
        ),
        ({"typ": "loops_checkpoint", "run_id": "r", "checkpoint_name": "c"}, "no Loops runs"),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_is_named(
    platform: Served, job: tuple[str, str], reference: dict[str, Any], words: str
) -> None:
    platform.project("other")
    platform.store(*job, "checkpoint-1")
    platform.store(*job, "checkpoint-2", complete=False)
    given = {key: value.format(job=job[1]) for key, value in reference.items()}
    body = {"training_job": {"image": {"base_image": "x"}, "runtime": loading(given)}}
    refused = platform.call("POST", f"/v1/training_projects/{job[0]}/jobs", body, expect=400)

    assert words in refused["message"]


def test_a_checkpoint_deleted_before_the_start_fails_the_deployment_of_the_job(
    platform: Served, job: tuple[str, str]
) -> None:
    platform.store(*job, "checkpoint-1")
    new = platform.job(job[0], runtime=loading(named(job[1], "checkpoint-1")))["id"]
    platform.call("DELETE", f"/v1/training_projects/{job[0]}/jobs/{job[1]}")
    platform.runner.set(job[1], "stopped")
    import shutil

    shutil.rmtree(platform.platform.data.checkpoints(*job))
    platform.move_on()

    looked = platform.look(job[0], new)
    assert looked["current_status"] == "TRAINING_JOB_DEPLOY_FAILED"
    assert "'checkpoint-1' of job" in looked["error_message"]
