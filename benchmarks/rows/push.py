"""A push of 20,000 files and 600 MB to a loopback object store, the whole process."""

from __future__ import annotations

from benchmarks.pushing import OURS, TAR, TRUSS, pushing
from benchmarks.results import COSTS, Goal, Result, cost_row


def measure(quick: bool) -> Result:
    files, total, rounds = (500, 15_000_000, 1) if quick else (20_000, 600_000_000, 7)
    with pushing(files, total // files) as tree:
        costs = tree.in_turn(rounds, OURS, TRUSS, TAR)
    ours = costs[OURS]
    return Result(
        title=f"A push of {files:,} files, {total / 1e6:.0f} MB, to a loopback object store, the whole process",
        goals=(
            Goal("wall time, of truss's", ours.ratio(costs[TRUSS], "wall"), 1 / 4),
            Goal("wall time, of the limit", ours.ratio(costs[TAR], "wall"), 1.5),
            Goal("peak memory", ours.median("memory") / 1e6, 100, "MB"),
        ),
        columns=COSTS,
        table=[cost_row(name, each) for name, each in costs.items()],
        remark="The limit is `tar` piped into one upload that is neither signed nor hashed; its memory is that of the "
        "larger of its processes. The store throws away what it gets. Before our first byte, an interpreter started "
        "and imported what the [small push](#small_push) is made of, and all files were looked at.",
    )
