"""What open pages cost: 20 jobs run and print, 50 pages follow them, and the server serves both.

Measured are the server's share of one core, with and without pages, and how long after a line was printed a page has
it. Jobs and their supervisors are processes of their own and do not count as the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, platform(Path(home), asked.jobs) as (served, http):
        paths = [submit(http) for _ in range(asked.jobs)]
        wait_until_running(http, asked.jobs)
        alone = share_of_a_core(served, lambda: time.sleep(asked.seconds / 3))
        delays: list[float] = []
        follow = follow_all(http, [paths[number % len(paths)] for number in range(asked.pages)], asked.seconds, delays)
        followed = share_of_a_core(served, lambda: asyncio.run(follow))
    delays.sort()
    print(f"{asked.jobs} jobs, 10 lines a second each; {asked.pages} pages")
    print(f"server without pages: {alone:.2f} of a core; with pages: {followed:.2f}")
    print(
        f"{len(delays)} lines reached a page, after: median {delays[len(delays) // 2]:.2f} s, "
        f"99th percentile {delays[len(delays) * 99 // 100]:.2f} s, at most {delays[-1]:.2f} s"
    )
    return 0


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


def share_of_a_core(served: LocalPlatform, during) -> float:
    process = psutil.Process(served.process.pid)
    began, before = time.monotonic(), process.cpu_times()
    during()
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - began)


async def follow_all(http: httpx.Client, paths: list[str], seconds: float, delays: list[float]) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=http.base_url, cookies=http.cookies, timeout=60, limits=limits, trust_env=False
    ) as client:
        following = [asyncio.create_task(follow(client, path, delays)) for path in paths]
        await asyncio.sleep(seconds)
        for each in following:
            each.cancel()
        problems = [
            each for each in await asyncio.gather(*following, return_exceptions=True) if isinstance(each, Exception)
        ]
        if problems:
            sys.exit(f"{len(problems)} pages broke off: {problems[0]!r}")


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


if __name__ == "__main__":
    sys.exit(main())
