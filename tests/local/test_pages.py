"""The pages over HTTP, as a browser asks for them, without one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from served_platform import Served, now

from truss_train_core.local.joblogs import LogWriter
from truss_train_core.local.runner import Sample
from truss_train_core.local.samples import path_of

MARKUP = "<script>alert('here')</script>"


class Visitor:
    """A browser that is signed in."""

    def __init__(self, platform: Served) -> None:
        self.http = httpx.Client(base_url=platform.url, timeout=30, follow_redirects=True)
        self.http.get(link(platform))

    def get(self, path: str, *, expect: int = 200, **headers: str) -> str:
        answer = self.http.get(path, headers=headers)
        assert answer.status_code == expect, answer.text
        return answer.text

    def act(self, page: str, action: str, body: Any = None, **changes: str) -> httpx.Response:
        """What a button of a page does; `changes` are to its headers."""
        token = re.search('name="page-token" content="([^"]+)"', self.get(page))
        assert token
        headers = {"Origin": str(self.http.base_url).rstrip("/"), "X-Page-Token": token[1], **changes}
        return self.http.post(f"{page}/{action}", json=body or {}, headers=headers)

    @contextmanager
    def events(self, path: str) -> Iterator[Iterator[dict[str, Any]]]:
        with self.http.stream("GET", path) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            data = (line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))
            yield (json.loads(each) for each in data)


def link(platform: Served) -> str:
    return str(platform.call("POST", "/v1/local/sign_in_links")["url"])


@pytest.fixture
def visitor(platform: Served) -> Iterator[Visitor]:
    visitor = Visitor(platform)
    yield visitor
    visitor.http.close()


@pytest.fixture
def job(platform: Served) -> str:
    """The path of a running job's page."""
    project = platform.project()
    return f"/training/{project}/logs/{platform.running_job(project, name='digits')}"


# ---------------------------------------------------------------- access

PAGES = ("/", "/jobs", "/models", "/training/any", "/training/any/logs/any", "/models/any/logs/any")
DATA = ("/events", "/jobs/events", "/training/any/logs/any/events", "/training/any/logs/any/lines")


def test_nothing_is_shown_before_signing_in(platform: Served) -> None:
    for path in PAGES:
        answer = platform.http.get(path)  # the key is for the API
        assert answer.status_code == 401
        assert "truss-train local sign-in" in answer.text
    for path in DATA:
        assert platform.http.get(path).status_code == 401


def test_a_link_signs_one_browser_in(platform: Served) -> None:
    once = link(platform)
    first, second = httpx.get(once), httpx.get(once)

    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert platform.platform.api_key not in cookie
    assert (second.status_code, "set-cookie" in second.headers) == (401, False)


def test_a_link_is_only_for_who_has_the_key(platform: Served) -> None:
    assert platform.http.post("/v1/local/sign_in_links", headers={"Authorization": ""}).status_code == 401


def test_a_session_that_was_changed_is_none(platform: Served, visitor: Visitor) -> None:
    ((name, session),) = visitor.http.cookies.items()
    until, nonce, signature = session.split(".")
    changed = [
        f"9{until}.{nonce}.{signature}",
        f"{until}.{nonce}.",
        f"{until}.{nonce}.{signature[:-1]}",
        "",
        "a.b.c",
        "x",
    ]

    for each in changed:
        assert httpx.get(platform.url, cookies={name: each}).status_code == 401


def test_the_key_is_in_no_page(platform: Served, visitor: Visitor, job: str) -> None:
    for path in ("/", "/jobs", "/models", job):
        assert platform.platform.api_key not in visitor.get(path)


def test_every_page_forbids_what_is_not_its_own(visitor: Visitor, job: str) -> None:
    for path in ("/", job, "/training/none/logs/none", f"{job}/lines", "/sign-in"):
        headers = visitor.http.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_pages_have_no_inline_scripts_or_styles(visitor: Visitor, job: str) -> None:
    for path in ("/", "/jobs", "/models", job):
        page = visitor.get(path)
        assert re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page) is None


def test_a_link_from_another_site_leads_to_the_page_at_the_second_attempt(platform: Served) -> None:
    """A browser sends a strict cookie only after the page was loaded once."""
    answer = httpx.get(platform.url, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"})

    assert '<meta http-equiv="refresh" content="0">' in answer.text


FOREIGN = (
    {"Origin": "http://localhost:1"}, {"Origin": "null"}, {"Origin": ""}, {"X-Page-Token": ""},
    {"X-Page-Token": "0" * 64}, {"Sec-Fetch-Site": "same-site"}, {"Cookie": ""},
)  # fmt: skip


def test_only_a_page_of_our_own_can_act(platform: Served, visitor: Visitor, job: str) -> None:
    for changes in FOREIGN:
        for action in ("stop", "recreate", "preempt", "deploy"):
            assert visitor.act(job, action, **changes).status_code in (401, 403), (changes, action)
    assert platform.runner.stops == []
    assert len(platform.call("POST", "/v1/training_jobs/search", {})["training_jobs"]) == 1


def test_the_page_of_one_session_cannot_act_in_another(platform: Served, visitor: Visitor, job: str) -> None:
    token = re.search('name="page-token" content="([^"]+)"', Visitor(platform).get(job))
    assert token

    assert visitor.act(job, "stop", **{"X-Page-Token": token[1]}).status_code == 403


def test_signing_out_ends_the_session_of_this_browser(visitor: Visitor) -> None:
    page = visitor.get("/")
    token = re.search('name="page-token" content="([^"]+)"', page)
    assert token
    origin = str(visitor.http.base_url).rstrip("/")
    visitor.http.post("/sign-out", headers={"Origin": origin, "X-Page-Token": token[1]})

    visitor.get("/", expect=401)


# ---------------------------------------------------------------- what is shown


def test_a_job_shows_what_was_submitted_without_what_is_secret(platform: Served, visitor: Visitor) -> None:
    platform.call("POST", "/v1/secrets", {"name": "hf_access_token", "value": "hunter2"})
    variables = {"HF": {"name": "hf_access_token"}, "WANDB_API_KEY": "plain-secret", "MAX_TOKENS": "2048"}
    project = platform.project()
    made = platform.job(project, runtime={"environment_variables": variables, "start_commands": ["python train.py"]})
    page = visitor.get(f"/training/{project}/logs/{made['id']}")

    for shown in ("hf_access_token", "WANDB_API_KEY", "2048", "python train.py"):
        assert shown in page
    for hidden in ("hunter2", "plain-secret"):
        assert hidden not in page


def test_what_jobs_say_is_text(platform: Served, visitor: Visitor) -> None:
    project = platform.project(MARKUP)
    job_id = platform.running_job(project, name=MARKUP, runtime={"start_commands": [MARKUP]})
    platform.store(project, job_id, "checkpoint-1")
    platform.runner.set(job_id, "failed", error_message=MARKUP)
    platform.move_on()
    page = f"/training/{project}/logs/{job_id}"

    for path in ("/", "/jobs", f"/training/{project}", page, f"/jobs?q={MARKUP}"):
        assert MARKUP not in visitor.get(path)
        assert "&lt;script&gt;" in visitor.get(path)
    with visitor.events(f"{page}/events") as events:
        told = [next(events) for _ in range(7)]
    assert all(MARKUP not in each["value"] for each in told if each["name"].startswith("part:"))
    assert visitor.get(f"{page}/title") == f"failed · {MARKUP}"
    assert visitor.http.get(f"{page}/title").headers["content-type"].startswith("text/plain")


def test_lists_find_what_is_searched_for(platform: Served, visitor: Visitor) -> None:
    for name in ("digits", "letters"):
        platform.running_job(platform.project(name), name=f"{name}-mlp")

    for path, shown in (("/?q=dig", "digits"), ("/jobs?q=dig", "digits-mlp"), ("/jobs?q=RUNNING", "letters-mlp")):
        assert shown in visitor.get(path)
    for path in ("/?q=dig", "/jobs?q=dig"):
        assert "letters" not in visitor.get(path)
    assert "No job matches." in visitor.get("/jobs?q=%25")  # a percent sign is no wildcard


def test_lists_show_the_queue(platform: Served, visitor: Visitor) -> None:
    project = platform.project()
    for _ in range(2):
        platform.job(project, compute={"cpu_count": 4})
    platform.move_on()

    assert "4 of 4 cores · 4 waited for" in visitor.get("/")


def test_what_is_not_there_says_so(visitor: Visitor, job: str) -> None:
    project = job.split("/")[2]
    for path in (f"/training/{project}/logs/none", "/training/none", "/models/none/logs/none"):
        assert "There is no" in visitor.get(path, expect=404)


def test_a_page_is_told_what_changes(platform: Served, visitor: Visitor, job: str) -> None:
    with visitor.events(f"{job}/events") as events:
        first = {each["name"]: each["value"] for each in (next(events) for _ in range(7))}
        assert "running" in first["part:head"]
        assert first["log"]["total"] == 0
        writer = LogWriter(platform.platform.data.job(job.rpartition("/")[2]), 0)
        writer.output(["hello"])
        writer.close()
        told = next(each for each in events if each["name"] == "log")["value"]
        assert [line[4] for line in told["lines"]] == ["hello"]
        platform.runner.set(job.rpartition("/")[2], "completed")
        platform.move_on()
        assert any("completed" in each["value"] for each in events if each["name"] == "part:head")


def test_a_deleted_job_is_gone_from_its_page(platform: Served, visitor: Visitor, job: str) -> None:
    _, _, project, _, job_id = job.split("/")
    with visitor.events(f"{job}/events") as events:
        next(events)
        platform.call("DELETE", f"/v1/training_projects/{project}/jobs/{job_id}")
        assert next(each for each in events if each["name"] == "gone")["value"] == "This job was deleted."


def test_a_deleted_project_is_gone_from_its_page(platform: Served, visitor: Visitor) -> None:
    project = platform.project()
    with visitor.events(f"/training/{project}/events") as events:
        next(events)
        platform.call("DELETE", f"/v1/training_projects/{project}")
        assert next(each for each in events if each["name"] == "gone")["value"] == "This project was deleted."


def test_usage_is_drawn_for_each_node_and_gpu(platform: Served, visitor: Visitor, job: str) -> None:
    for rank in range(2):
        path = path_of(platform.platform.data.job(job.rpartition("/")[2]), rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        sample = Sample(
            timestamp=now(), cpu_usage=1.5, cpu_memory_usage_bytes=2**30, disk_usage_bytes=0, disk_utilization=0.1,
            gpu_utilization={"0": 0.5}, gpu_memory_usage_bytes={"0": 2**31},
        )  # fmt: skip
        path.write_text(sample.model_dump_json() + "\n")
    with visitor.events(f"{job}/events") as events:
        charts = next(each for each in events if each["name"] == "machine")["value"]["charts"]

    drawn = {chart["title"]: [line["label"] for line in chart["lines"]] for chart in charts}
    assert drawn["CPU, cores"] == ["node 0", "node 1"]
    assert drawn["GPU, %"] == ["node 0 GPU 0", "node 1 GPU 0"]


# ---------------------------------------------------------------- logs


def test_a_window_of_a_log_is_read_by_line_number(platform: Served, visitor: Visitor, job: str) -> None:
    writer = LogWriter(platform.platform.data.job(job.rpartition("/")[2]), 0)
    writer.output(f"{'ERROR' if number % 10 == 0 else 'INFO'} line {number}" for number in range(1000))
    writer.close()

    def lines(query: str) -> tuple[int, list[str]]:
        answer = json.loads(visitor.get(f"{job}/lines?{query}"))
        return answer["total"], [line[4] for line in answer["lines"]]

    assert lines("from=500&count=2") == (1000, ["ERROR line 500", "INFO line 501"])
    assert lines("from=-1&count=9") == (1000, ["INFO line 999"])
    assert lines("from=2000&count=9") == (1000, [])
    assert lines("from=1&count=1&level=ERROR") == (100, ["ERROR line 10"])
    assert lines("from=0&count=9&text=LINE+77") == (11, ["INFO line 77", *lines("from=770&count=8")[1]])
    assert lines("from=0&count=9&rank=1") == (0, [])
    visitor.get(f"{job}/lines?level=LOUD", expect=400)


# ---------------------------------------------------------------- actions


def test_buttons_do_what_the_api_does(platform: Served, visitor: Visitor) -> None:
    project = platform.project()
    job_id = platform.running_job(project, compute={"availability_model": "spot"})
    job = f"/training/{project}/logs/{job_id}"
    assert visitor.act(job, "preempt").status_code == 200
    assert visitor.act(job, "stop").status_code == 200
    again = visitor.act(job, "recreate").json()["go"]

    assert platform.runner.stops == [(job_id, "preempted"), (job_id, "stopped")]
    assert again != job
    assert "pending" in visitor.get(again) or "created" in visitor.get(again)


def test_what_cannot_be_done_says_why(visitor: Visitor, job: str) -> None:
    refused = visitor.act(job, "preempt")

    assert refused.status_code == 409
    assert "only spot jobs are preempted" in refused.json()["message"]


def test_a_checkpoint_is_deployed_from_its_row(platform: Served, visitor: Visitor, job: str) -> None:
    _, _, project, _, job_id = job.split("/")
    platform.store(project, job_id, "checkpoint-7")
    form = {"checkpoint": "checkpoint-7", "model_name": "digits", "start_command": "serve", "predict_endpoint": "/ask"}
    deployment = visitor.act(job, "deploy", form).json()["go"]
    platform.move_on()

    assert "checkpoint-7" in visitor.get(deployment)
    (spec,) = platform.serving.specs.values()
    assert (spec.start_command, spec.predict_path) == ("serve", "/ask")
    assert "deployed as deployment-1" in visitor.get(job)
    assert "checkpoint-7" in visitor.get("/models")
    for action in ("deactivate", "activate"):
        assert visitor.act(deployment, action).status_code == 200
    assert visitor.act(deployment, "promote").status_code == 400  # it does not serve yet
    assert visitor.act(job, "deploy", {**form, "checkpoint": "checkpoint-9"}).status_code == 400
    assert visitor.act(job, "deploy", {**form, "predict_endpoint": "no-slash"}).status_code == 400
