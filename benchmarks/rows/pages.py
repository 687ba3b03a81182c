"""What open pages cost: jobs run and print, pages follow them, and the server serves both."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx
import psutil

from benchmarks.results import Result, seconds
from truss_train_core.testing import LocalPlatform

JOB = """python -u - <<'END'
import json, os, pathlib, time
history = []
for step in range(1, 1000000):
    print("printed at", time.time(), "step", step, "loss", 1 / step)
    if step % 50 == 0:
        history.append({"step": step, "loss": 1 / step})
        folder = pathlib.Path(os.environ["BT_CHECKPOINT_DIR"], f"checkpoint-{step}")
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"0" * 1000)
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": history}))
    time.sleep(0.1)
END"""


def measure(quick: bool) -> Result:
    jobs, pages, span = (3, 5, 6.0) if quick else (20, 50, 60.0)
    with TemporaryDirectory() as home, platform(Path(home), jobs) as (served, http):
        paths = [submit(http) for _ in range(jobs)]
        wait_until_running(http, jobs)
        alone = share_of_a_core(served, lambda: time.sleep(span / 3))
        delays: list[float] = []
        follow = follow_all(http, [paths[number % len(paths)] for number in range(pages)], span, delays)
        followed = share_of_a_core(served, lambda: asyncio.run(follow))
    delays.sort()
    return Result(
        title=f"{jobs} jobs that print 10 lines a second each, and {pages} open pages that follow them",
        goals=(),
        columns=("", "the server, of one core", "a line has reached a page after, median", "99th percentile", "most"),
        table=[
            ("without pages", f"{alone:.2f}", "", "", ""),
            (
                f"with {pages} pages",
                f"{followed:.2f}",
                seconds(median(delays)),
                seconds(delays[len(delays) * 99 // 100]),
                seconds(delays[-1]),
            ),
        ],
        remark="Jobs and their supervisors are processes of their own and do not count as the server.",
    )


@contextmanager
def platform(home: Path, jobs: int) -> Iterator[tuple[LocalPlatform, httpx.Client]]:
    with LocalPlatform.started(home, capacity={"CPU": jobs}, stop_grace=2) as served:
        headers = {"Authorization": served.remote.authorization}
        with httpx.Client(base_url=served.remote.api_url, headers=headers, trust_env=False, timeout=60) as http:
            http.get(served.sign_in_link())  # the cookie is now in this client, as it is in a browser
            yield served, http


def submit(http: httpx.Client) -> str:
    made = http.post("/v1/training_projects", json={"training_project": {"name": "load"}}).json()["training_project"]
    runtime = {"start_commands": [JOB], "checkpointing_config": {"enabled": True}}
    body = {"training_job": {"image": {"base_image": "python"}, "runtime": runtime, "compute": {"cpu_count": 1}}}
    job = http.post(f"/v1/training_projects/{made['id']}/jobs", json=body).json()["training_job"]
    return f"/training/{made['id']}/logs/{job['id']}"


def wait_until_running(http: httpx.Client, count: int) -> None:
    search = {"statuses": ["TRAINING_JOB_RUNNING"]}
    while len(http.post("/v1/training_jobs/search", json=search).json()["training_jobs"]) < count:
        time.sleep(0.5)


def share_of_a_core(served: LocalPlatform, during: Callable[[], object]) -> float:
    process = psutil.Process(served.process.pid)
    began, before = time.monotonic(), process.cpu_times()
    during()
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return float(spent / (time.monotonic() - began))


async def follow_all(http: httpx.Client, paths: list[str], span: float, delays: list[float]) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=http.base_url, cookies=http.cookies, timeout=60, limits=limits, trust_env=False
    ) as client:
        following = [asyncio.create_task(follow(client, path, delays)) for path in paths]
        await asyncio.sleep(span)
        for each in following:
            each.cancel()
        problems = [
            each for each in await asyncio.gather(*following, return_exceptions=True) if isinstance(each, Exception)
        ]
        if problems:
            raise RuntimeError(f"{len(problems)} pages broke off: {problems[0]!r}")


async def follow(client: httpx.AsyncClient, path: str, delays: list[float]) -> None:
    """A page: it is loaded, and follows its events. What the first look brings is old, and does not count."""
    (await client.get(path)).raise_for_status()
    seen = None
    async with client.stream("GET", f"{path}/events") as answer:
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            event = json.loads(line.removeprefix("data: "))
            if event["name"] != "log":
                continue
            now = time.time()
            for number, _, _, _, message in event["value"]["lines"]:
                if seen is not None and number > seen and message.startswith("printed at "):
                    delays.append(now - float(message.split()[2]))
            seen = event["value"]["total"] - 1
