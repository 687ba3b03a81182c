"""Ten thousand jobs waited for in one process, for ten minutes, beside a trigger for each that asks for its own job.

Time is that of an event loop that does not sleep: where nothing is left to do, it is later. The API is a transport in
the same process, so that what is measured is the waiting alone. Both sides run on one client; a trigger of the usual
kind would have its own.
"""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import sys
from datetime import datetime, timezone

import httpx
from pydantic import SecretStr

from benchmarks.jobs import EIGHT_H100
from benchmarks.measuring import told_by, used_by_this_process
from benchmarks.results import Goal, Growth, Result, number, seconds
from truss_train_core import AsyncClient, Clock, Remote, jobs
from truss_train_core.api import endpoints
from truss_train_core.api.models import JobAnswer

SPAN = 600.0
"""Seconds of waiting."""
INTERVAL = 30.0
"""Seconds between two looks at a job that has been running for hours; what SageMaker's trigger takes, too."""
SHARE = 2.0
"""As in the Airflow provider."""
BEGAN = 1_750_000_000.0
AGE = 7200.0
SIZES = (10, 100, 1000, 10_000)
OURS, ASKING = "sharing", "asking"


def measure(quick: bool) -> Result:
    sizes = SIZES[:2] if quick else SIZES
    found = {side: {size: told_by(__name__, side, size, 0) for size in sizes} for side in (OURS, ASKING)}
    size = sizes[-1]
    noticed = told_by(__name__, OURS, size, size // 10)["noticed"]
    ours, asking = found[OURS][size], found[ASKING][size]
    at_99 = noticed[len(noticed) * 99 // 100]
    return Result(
        title=f"{size:,} running jobs waited for in one process through {SPAN / 60:.0f} minutes",
        goals=(
            Goal("requests, of a trigger each", ours["requests"] / asking["requests"], 1 / 1000),
            Goal("processor time, of a trigger each", ours["processor"] / asking["processor"], 1 / 10),
            Goal("memory for each waiting job", ours["grown"] / size / 1000, 20, "KB"),
            Goal("an end is noticed, 99th percentile, after", at_99, INTERVAL + 1, "s"),
        ),
        columns=("", "requests", "processor", "memory for each job"),
        table=[
            (
                name,
                f"{side[size]['requests']:,}",
                seconds(side[size]["processor"]),
                f"{number(side[size]['grown'] / size / 1000)} KB",
            )
            for name, side in (("`jobs.wait`, one for each job", found[OURS]), ("a trigger each", found[ASKING]))
        ],
        growths=[
            Growth(f"{what} of {name}", unit, {size: cost[key] for size, cost in found[side].items()})
            for side, name in ((OURS, "`jobs.wait`"), (ASKING, "a trigger each"))
            for what, unit, key in (("processor time", "s", "processor"), ("requests", "", "requests"))
        ],
        remark=f"The pause between two looks at such a job is {INTERVAL:.0f} s. When an end is noticed was seen in a "
        "run of its own, in which one of ten jobs ends at a random moment: the median is "
        f"{number(noticed[len(noticed) // 2])} s. Time is simulated.",
    )


# ---------------------------------------------------------------- one side, in a process of its own


class TimelessLoop(asyncio.SelectorEventLoop):
    """A loop that goes on to the next timer at once."""

    def __init__(self) -> None:
        self.skipped = 0.0
        super().__init__(_Impatient(self))

    def time(self) -> float:
        return self.skipped


class _Impatient(selectors.DefaultSelector):
    def __init__(self, loop: TimelessLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.skipped += timeout or 0.0
        return super().select(0)


class LoopClock(Clock):
    def now(self) -> float:
        return BEGAN + asyncio.get_running_loop().time()


class Api(httpx.AsyncBaseTransport):
    """Answers which of its jobs run, and how one job is, some of which end at some time."""

    def __init__(self, count: int, ends: dict[str, float]) -> None:
        self.jobs = {f"job{number:05}": _job(f"job{number:05}", "RUNNING") for number in range(count)}
        self.ends = sorted(ends.items(), key=lambda each: -each[1])
        self.ended: dict[str, dict[str, object]] = {}
        self.requests = 0
        self._running: bytes | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        self._move_on()
        return httpx.Response(200, content=self._answer(request.url.path))

    def _move_on(self) -> None:
        while self.ends and self.ends[-1][1] <= asyncio.get_running_loop().time():
            job_id, _ = self.ends.pop()
            del self.jobs[job_id]
            self.ended[job_id] = _job(job_id, "COMPLETED")
            self._running = None

    def _answer(self, path: str) -> bytes:
        if path.endswith("/search"):
            if self._running is None:
                self._running = json.dumps({"training_jobs": list(self.jobs.values())}).encode()
            return self._running
        job_id = path.rpartition("/")[2]
        job = self.jobs.get(job_id) or self.ended[job_id]
        return json.dumps({"training_job": job, "training_project": _project()}).encode()


def _job(job_id: str, status: str) -> dict[str, object]:
    return {
        "id": job_id, "created_at": _moment(BEGAN - AGE), "updated_at": _moment(BEGAN - AGE),
        "current_status": f"TRAINING_JOB_{status}", "training_project_id": "project", "name": f"retrain-{job_id}",
        "training_project": {"id": "project", "name": "bench"}, "node_count": 1, "priority": 0,
        "availability_model": "spot", "error_message": None, "checkpoint_sync_status": None,
        "user": {"email": "bench@localhost"},
        "instance_type": EIGHT_H100,
    }  # fmt: skip


def _project() -> dict[str, object]:
    return {"id": "project", "name": "bench", "created_at": _moment(BEGAN - AGE), "updated_at": _moment(BEGAN - AGE),
            "team_name": "bench", "latest_job": None}  # fmt: skip


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


async def _wait(side: str, count: int, ending: int) -> dict[str, object]:
    dice = random.Random(1)
    # Not in the first intervals, in which all waits begin at one moment.
    ends = {f"job{number:05}": dice.uniform(2 * INTERVAL, SPAN - 2 * INTERVAL) for number in range(ending)}
    api = Api(count, ends)
    noticed: list[float] = []
    loop = asyncio.get_running_loop()
    remote = Remote(name="bench", api_url="http://bench", web_url="http://bench", key=SecretStr("key"))
    async with AsyncClient(remote, share=SHARE, clock=LoopClock(), transport=api) as client:
        waited = [JobAnswer.model_validate({"training_job": job, "training_project": _project()}).training_job
                  for job in api.jobs.values()]  # fmt: skip
        await asyncio.sleep(0)
        before = used_by_this_process()

        async def sharing(job: jobs.TrainingJob) -> None:
            await asyncio.sleep(dice.uniform(0, INTERVAL))  # tasks do not begin at one moment
            ended = await client.run(jobs.wait(job))
            noticed.append(loop.time() - ends[ended.id])

        async def asking(job: jobs.TrainingJob) -> None:
            await asyncio.sleep(dice.uniform(0, INTERVAL))
            while not (await client.send(endpoints.get_job("project", job.id))).training_job.is_terminal:
                await asyncio.sleep(INTERVAL)

        waits = [asyncio.create_task({OURS: sharing, ASKING: asking}[side](job)) for job in waited]
        await asyncio.sleep(SPAN)
        after = used_by_this_process()
        for wait in waits:
            wait.cancel()
        problems = [
            each for each in await asyncio.gather(*waits, return_exceptions=True) if isinstance(each, Exception)
        ]
        if problems or len(noticed) != ending:
            raise RuntimeError(f"{len(noticed)} of {ending} ends were noticed, and there were errors: {problems[:1]}")
    return {
        "requests": api.requests,
        "processor": after["processor"] - before["processor"],
        "grown": after["peak"] - before["memory"],
        "noticed": sorted(noticed),
    }


def main() -> None:
    side, count, ending = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    loop = TimelessLoop()
    print(json.dumps(loop.run_until_complete(_wait(side, count, ending))))


if __name__ == "__main__":
    main()
