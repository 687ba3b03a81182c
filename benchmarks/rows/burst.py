"""Five hundred submits at once, from fifty clients: none lost, none twice."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.jobs import project
from benchmarks.results import Goal, Growth, Result, number, seconds
from truss_train_core import Client
from truss_train_core.api import endpoints
from truss_train_core.pushing import push_once_flow
from truss_train_core.testing import LocalPlatform

CLIENTS = 50
SIZES = (50, 100, 200, 500)


def measure(quick: bool) -> Result:
    sizes = SIZES[:1] if quick else SIZES
    taken: dict[int, list[float]] = {}
    wrong = 0
    for size in sizes:
        taken[size], made = _submitted(size)
        wrong += size - len(made) + sum(times - 1 for times in made.values())
    most = sizes[-1]
    wall = {size: each[-1] for size, each in taken.items()}
    growth = Growth("wall time", "s", wall)
    return Result(
        title=f"{most} submits at once from {CLIENTS} clients in one process, each submitted exactly once",
        goals=(
            Goal("jobs that are lost or there twice", wrong, 0, ""),
            *([] if quick else [Goal("slope of the wall time", growth.slope, 1.2, "")]),
        ),
        columns=("", "submits", "wall", "a second"),
        table=[("all", f"{most}", seconds(wall[most]), number(most / wall[most]))],
        growths=() if quick else (growth,),
        remark="A submit is six calls: the project, a look for the job, the credentials, the archive, the job, and a "
        "look for a twin. Clients are threads of one process.",
    )


def _submitted(count: int) -> tuple[list[float], Counter[str]]:
    """When each submit was done, in seconds from the beginning, and how often each job is there afterwards."""
    with (
        TemporaryDirectory(prefix="bench-burst-") as directory,
        LocalPlatform.started(Path(directory, "platform"), capacity={"CPU": 0}) as platform,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        source = Path(directory, "source")
        source.mkdir()
        (source / "train.py").write_text("print('hello')\n")
        began = time.perf_counter()

        def submit(numbers: range) -> list[float]:
            done = []
            with Client(platform.remote) as client:
                for each in numbers:
                    client.run(push_once_flow(project("python train.py", name=f"submit-{each}"), source))
                    done.append(time.perf_counter() - began)
            return done

        moments = [
            moment for each in pool.map(submit, (range(n, count, CLIENTS) for n in range(CLIENTS))) for moment in each
        ]
        with Client(platform.remote) as client:
            made = Counter(str(job.name) for job in client.send(endpoints.search_jobs()).training_jobs)
    return sorted(moments), made
