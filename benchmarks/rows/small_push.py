"""A push of a project of 20 files, the whole process: mostly the start of the interpreter, and imports."""

from __future__ import annotations

from benchmarks.pushing import OURS, TRUSS, pushing
from benchmarks.results import COSTS, Goal, Result, cost_row


def measure(quick: bool) -> Result:
    with pushing(files=20, size=4000) as tree:
        costs = tree.in_turn(1 if quick else 9, OURS, TRUSS)
    ours = costs[OURS]
    return Result(
        title="A push of a project of 20 files, the whole process",
        goals=(Goal("wall time, of truss's", ours.ratio(costs[TRUSS], "wall"), 1 / 4),),
        columns=COSTS,
        table=[cost_row(name, each) for name, each in costs.items()],
        remark="Nearly all of ours is the start of the interpreter and imports: pydantic with the models of a "
        "definition, httpx, and typer.",
    )
