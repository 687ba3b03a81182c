"""Following the log of a finished job of a million lines, beside parsing the same JSON alone."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from statistics import median

import httpx
from pydantic import SecretStr

from benchmarks.measuring import Ratio, told_by, used_by_this_process
from benchmarks.results import Goal, Growth, Result, megabytes, number, seconds
from truss_train_core import Client, Remote, jobs
from truss_train_core.api.models import LOG_LIMIT, LogsAnswer, TrainingJob
from truss_train_core.events import LogLines
from truss_train_core.testing import ManualClock

OURS, PARSING, MODELS = "`jobs.follow`", "`json.loads` alone", "parsing into lines alone"
KINDS = {OURS: "follow", PARSING: "parse", MODELS: "models"}
SIZES = (1000, 10_000, 100_000, 1_000_000)
ENDED = 1_750_000_000
"""When the last line was printed, in seconds since the epoch; an hour before it is read."""
APART = 1_000_000
"""Nanoseconds between two lines."""


def measure(quick: bool) -> Result:
    sizes = SIZES[:2] if quick else SIZES
    most = sizes[-1]
    rounds = [{side: told_by(__name__, kind, most) for side, kind in KINDS.items()} for _ in range(1 if quick else 7)]
    ours = {size: told_by(__name__, KINDS[OURS], size) for size in sizes}
    middle = {side: median(each[side]["processor"] for each in rounds) for side in KINDS}
    return Result(
        title=f"Following {most:,} lines of the log of a finished job",
        goals=(
            Goal("processor time, of `json.loads` alone", _ratio(rounds, PARSING), 2),
            Goal("lines that are lost or come twice", sum(abs(most - each[OURS]["lines"]) for each in rounds), 0, ""),
            Goal("peak memory, of that for the fewest lines", ours[most]["peak"] / ours[sizes[0]]["peak"], 1.1),
        ),
        columns=("", "processor", "a line", "peak memory"),
        table=[
            (side, seconds(spent), f"{number(spent / most * 1e6)} µs", megabytes(rounds[0][side]["peak"]))
            for side, spent in middle.items()
        ],
        growths=[
            Growth(f"{what} of {OURS}", unit, {size: cost[key] / scale for size, cost in ours.items()})
            for what, unit, key, scale in (("processor time", "s", "processor", 1), ("peak memory", "MB", "peak", 1e6))
        ],
        remark="The API is a transport in the same process, and its cost is taken off. Of parsing into lines alone, "
        f"whose fields are checked, ours is {number(_ratio(rounds, MODELS).value)} ×; the rest is mostly httpx, for an "
        f"answer holds {LOG_LIMIT:,} lines at most.",
    )


def _ratio(rounds: list[dict[str, dict[str, float]]], other: str) -> Ratio:
    return Ratio.of(each[OURS]["processor"] / each[other]["processor"] for each in rounds)


# ---------------------------------------------------------------- one side, in a process of its own


class Api(httpx.BaseTransport):
    """A finished job and its log, made as it is asked for.

    Attributes:
        spent: seconds of processor time that the making took.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.first = ENDED * 1_000_000_000 - count * APART
        self.spent = 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        began = time.process_time()
        asked = request.url.params
        if request.url.path.endswith("/logs"):
            content = self.page(int(asked["start_epoch_millis"]), int(asked["end_epoch_millis"]))
        elif request.url.path.endswith("/search"):
            content = b'{"training_jobs": []}'
        else:
            content = json.dumps({"training_job": self.job(), "training_project": PROJECT}).encode()
        self.spent += time.process_time() - began
        return httpx.Response(200, content=content)

    def page(self, start: int, end: int) -> bytes:
        begin, after = (-(-(millis * 1_000_000 - self.first) // APART) for millis in (start, end))
        begin, after = max(0, begin), min(after, self.count)
        lines = [line(self.first, number) for number in range(begin, min(after, begin + LOG_LIMIT))]
        return f'{{"logs":[{",".join(lines)}]}}'.encode()

    def job(self) -> dict[str, object]:
        return {
            "id": "job", "created_at": self.first / 1e9 - 1, "updated_at": ENDED + 1,
            "current_status": "TRAINING_JOB_COMPLETED", "training_project_id": "project", "name": "train",
            "training_project": {"id": "project", "name": "bench"},
        }  # fmt: skip

    def pages(self) -> Iterator[bytes]:
        """All lines, each once."""
        step = LOG_LIMIT * APART // 1_000_000
        start = self.first // 1_000_000
        for begin in range(start, start + self.count * APART // 1_000_000, step):
            began = time.process_time()
            page = self.page(begin, begin + step)
            self.spent += time.process_time() - began
            yield page


PROJECT = {"id": "project", "name": "bench", "created_at": ENDED, "updated_at": ENDED}


def line(first: int, number: int) -> str:
    message = f"step {number} loss {1 / (number + 1):.6f} grad_norm 0.731 lr 0.0002 tokens/s 182031"
    return f'{{"timestamp":"{first + number * APART}","replica":"g00r0","level":null,"message":"{message}\\n"}}'


def follow(api: Api) -> int:
    remote = Remote(name="bench", api_url="http://bench", web_url="http://bench", key=SecretStr("key"))
    expected = 0

    def listen(event: object) -> None:
        nonlocal expected
        if isinstance(event, LogLines):
            first, last = (int(each.message.split(" ", 2)[1]) for each in (event.lines[0], event.lines[-1]))
            if (first, last) != (expected, expected + len(event.lines) - 1):
                raise RuntimeError(f"after line {expected} come {len(event.lines)} lines, from {first} to {last}")
            expected = last + 1

    with Client(remote, clock=ManualClock(ENDED + 3600.0), transport=api) as client:
        client.run(jobs.follow(TrainingJob.model_validate(api.job())), on_event=listen)
    return expected


def parse(api: Api) -> int:
    return sum(len(json.loads(page)["logs"]) for page in api.pages())


def models(api: Api) -> int:
    return sum(len(LogsAnswer.model_validate_json(page).logs) for page in api.pages())


def main() -> None:
    api = Api(int(sys.argv[2]))
    began = time.process_time()
    lines = {"follow": follow, "parse": parse, "models": models}[sys.argv[1]](api)
    used = used_by_this_process()
    print(json.dumps({"lines": lines, "processor": time.process_time() - began - api.spent, "peak": used["peak"]}))


if __name__ == "__main__":
    main()
