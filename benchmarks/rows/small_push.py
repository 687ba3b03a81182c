"""A push of a project of 20 files, the whole process: mostly the start of the interpreter, and imports."""

from __future__ import annotations

from benchmarks.pushing import OURS, TRUSS, pushing
from benchmarks.results import Goal, Result, megabytes, seconds


def measure(quick: bool) -> Result:
    with pushing(files=20, size=4000) as tree:
        costs = tree.in_turn(1 if quick else 9, OURS, TRUSS)
    ours = costs[OURS]
    return Result(
        title="A push of a project of 20 files, the whole process",
        goals=(Goal("wall time, of truss's", ours.ratio(costs[TRUSS], "wall"), 1 / 4),),
        columns=("", "wall", "processor", "peak memory"),
        table=[
            (name, seconds(each.median("wall")), seconds(each.median("processor")), megabytes(each.median("memory")))
            for name, each in costs.items()
        ],
    )
