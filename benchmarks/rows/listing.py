"""Listing the checkpoints of a job, and the jobs of an account: what it costs as there are more of them."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta, timezone

import httpx
from pydantic import SecretStr

from benchmarks.jobs import EIGHT_H100
from benchmarks.measuring import told_by
from benchmarks.results import Growth, Result, number, seconds
from truss_train_core import Client, Remote, checkpoints
from truss_train_core.api import endpoints
from truss_train_core.api.models import TrainingJob

CHECKPOINTS, FILES, JOBS = "the checkpoints of a job", "the files of its checkpoints", "the jobs of an account"
KINDS = {CHECKPOINTS: "checkpoints", FILES: "files", JOBS: "jobs"}
SIZES = (10, 100, 1000, 10_000)
REPEATS = 20_000
"""How many are listed in all, at each size."""
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def measure(quick: bool) -> Result:
    sizes = SIZES[:2] if quick else SIZES
    costs = {what: {size: told_by(__name__, kind, size)["processor"] for size in sizes} for what, kind in KINDS.items()}
    most = sizes[-1]
    return Result(
        title=f"Listing {most:,} checkpoints, files and jobs",
        goals=(),
        columns=("", "processor", "each"),
        table=[(what, seconds(cost[most]), f"{number(cost[most] / most * 1e6)} µs") for what, cost in costs.items()],
        growths=[Growth(f"processor time for {what}", "s", cost) for what, cost in costs.items()],
        remark="The API is a transport in the same process that answers with bytes it has ready. Files come a page of "
        "1,000 at a time.",
    )


# ---------------------------------------------------------------- one side, in a process of its own


class Api(httpx.BaseTransport):
    """An account with so many jobs, or with one job of so many checkpoints of one file each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.jobs = json.dumps({"training_jobs": [job(number) for number in range(count)]}).encode()
        listed = [checkpoint(number) for number in range(count)]
        self.checkpoints = json.dumps({"training_job": job(0), "checkpoints": listed}).encode()
        self.pages = [self.page(first) for first in range(0, count, 1000)]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/search"):
            return httpx.Response(200, content=self.jobs)
        if request.url.path.endswith("/checkpoints"):
            return httpx.Response(200, content=self.checkpoints)
        return httpx.Response(200, content=self.pages[int(request.url.params.get("page_token", 0))])

    def page(self, first: int) -> bytes:
        after = min(first + 1000, self.count)
        following = after // 1000 if after < self.count else None
        return json.dumps(
            {
                "presigned_urls": [file(number) for number in range(first, after)],
                "next_page_token": following,
                "total_count": self.count,
            }
        ).encode()


def job(number: int) -> dict[str, object]:
    return {
        "id": f"job{number:05}", "created_at": _moment(number), "updated_at": _moment(number + 1),
        "current_status": "TRAINING_JOB_COMPLETED", "training_project_id": "project", "name": f"retrain-{number}",
        "training_project": {"id": "project", "name": "bench"}, "node_count": 1,
        "instance_type": EIGHT_H100,
    }  # fmt: skip


def checkpoint(number: int) -> dict[str, object]:
    return {
        "training_job_id": "job00000", "checkpoint_id": f"checkpoint-{number}", "created_at": _moment(number),
        "checkpoint_type": "full", "base_model": "base", "lora_adapter_config": None, "size_bytes": 2_000_000_000,
    }  # fmt: skip


def file(number: int) -> dict[str, object]:
    return {
        "url": f"http://store/checkpoint-{number}/model.safetensors?signature={number:064x}", "node_rank": 0,
        "relative_file_name": f"checkpoint-{number}/model.safetensors", "size_bytes": 2_000_000_000,
        "last_modified": _moment(number),
    }  # fmt: skip


def _moment(minutes: int) -> str:
    return (BEGAN + timedelta(minutes=minutes)).isoformat()


def listed(client: Client, kind: str) -> int:
    """How many there are."""
    if kind == "jobs":
        return len(client.send(endpoints.search_jobs()).training_jobs)
    of = TrainingJob.model_validate(job(0))
    if kind == "files":
        return len(client.run(checkpoints.list_files(of)))
    return len(client.run(checkpoints.list_checkpoints(of)))


def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2])
    remote = Remote(name="bench", api_url="http://bench", web_url="http://bench", key=SecretStr("key"))
    times = max(1, REPEATS // count)
    with Client(remote, transport=Api(count)) as client:
        assert listed(client, kind) == count
        began = time.process_time()
        for _ in range(times):
            listed(client, kind)
        print(json.dumps({"processor": (time.process_time() - began) / times}))


if __name__ == "__main__":
    main()
