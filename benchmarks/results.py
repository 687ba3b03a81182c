"""What a row found, and the page that all rows make."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import Costs, Ratio

_HOW_TO_READ = (
    "Written by `make bench`, which measures everything below in one run: what is compared is measured in turn, "
    "medians are of all rounds, and a ratio is the median of the rounds' ratios. Ratios are what counts: machines "
    "differ, and are busy. Beside a ratio stands between which figures it would be over ever so many rounds, in 95 of "
    "100 cases."
)
COSTS = ("", "wall", "processor", "peak memory")
"""The columns of `cost_row`."""


@dataclass(frozen=True)
class Goal:
    """A figure that is to be no more than a limit, or no less.

    Attributes:
        what: of what, beside what.
        measured: the figure, or a ratio with what the noise of the machine leaves open.
        limit: that it is held against.
        unit: of both; "×" for a ratio.
        at_least: whether the limit is the least that is wanted.
    """

    what: str
    measured: float | Ratio
    limit: float
    unit: str = "×"
    at_least: bool = False

    @property
    def value(self) -> float:
        return self.measured.value if isinstance(self.measured, Ratio) else self.measured

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        """Whether it is met, and whether another run may find otherwise."""
        open_still = isinstance(self.measured, Ratio) and self.measured.low <= self.limit <= self.measured.high
        return ("met" if self.met else "**missed**") + (", by less than the noise" if open_still else "")

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        noise = (
            f", {number(self.measured.low)} to {number(self.measured.high)}" if isinstance(self.measured, Ratio) else ""
        )
        return f"{self.what}: {number(self.value)} {self.unit}{noise} ({sign} {number(self.limit)})"


@dataclass(frozen=True)
class Growth:
    """How a cost grows with a number: `slope` is the power of it, 1 where the cost is in proportion."""

    what: str
    unit: str
    costs: Mapping[int, float]

    @property
    def slope(self) -> float:
        points = [(math.log(count), math.log(cost)) for count, cost in self.costs.items() if cost > 0]
        middle_x, middle_y = (sum(column) / len(points) for column in zip(*points, strict=True))
        rise = sum((x - middle_x) * (y - middle_y) for x, y in points)
        return float(rise / sum((x - middle_x) ** 2 for x, _ in points))


@dataclass(frozen=True)
class Result:
    """What a row found.

    Attributes:
        title: what was measured.
        goals: the figures that there is a goal for.
        columns, table: all figures, a side each line, the first column being its name.
        growths: costs at several sizes.
        remark: what one has to know to read the figures.
    """

    title: str
    goals: Sequence[Goal]
    columns: Sequence[str]
    table: Sequence[Sequence[str]]
    growths: Sequence[Growth] = ()
    remark: str = ""


def number(value: float) -> str:
    """Three digits, as people write them."""
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{min(digits, 4)}f}"


def seconds(value: float) -> str:
    """Seconds or milliseconds."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def megabytes(value: float) -> str:
    """Megabytes of 1,000,000 bytes."""
    return f"{value / 1e6:.0f} MB"


def cost_row(name: str, costs: Costs) -> tuple[str, ...]:
    """What the processes of a side cost, as medians."""
    memory = megabytes(costs.median("memory"))
    return name, seconds(costs.median("wall")), seconds(costs.median("processor")), memory


def page(results: Mapping[str, Result | str], minutes: float) -> str:
    """The page; a row that failed is there with its error."""
    lines = [
        "# What it costs",
        "",
        _HOW_TO_READ,
        "",
        f"{machine()}. The run took {minutes:.0f} minutes.",
        "",
        "| row | goals |  |",
        "| --- | --- | --- |",
    ]
    for name, result in results.items():
        goals = result.goals if isinstance(result, Result) else ()
        lines += [f"| [{name}](#{name}) | {goal} | {goal.verdict} |" for goal in goals]
        if isinstance(result, str):
            lines.append(f"| {name} | {result.splitlines()[0]} | **failed** |")
    for name, result in results.items():
        if isinstance(result, Result):
            lines += ["", f"## {name}", "", *section(result)]
    return "\n".join(lines) + "\n"


def section(result: Result) -> list[str]:
    """A row's part of the page."""
    lines = [f"{result.title}.", "", *_table(result.columns, result.table)]
    sizes = sorted({size for growth in result.growths for size in growth.costs})
    if sizes:
        grown = [
            [f"{growth.what}, {growth.unit}", *(_at(growth, size) for size in sizes), f"{growth.slope:.2f}"]
            for growth in result.growths
        ]
        lines += ["", *_table(["growth", *(f"{size:,}" for size in sizes), "slope"], grown)]
    return [*lines, "", result.remark] if result.remark else lines


def machine() -> str:
    """The machine and the versions that matter, without a name or a path."""
    names = ("httpx", "pydantic", "obstore", "SQLAlchemy", "starlette", "uvicorn")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory() / 1e9:.0f} GB of memory, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}; {versions}; "
        f"load average at the end {os.getloadavg()[2]:.1f}"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    numbers = " | ".join("---:" for _ in columns[1:])
    return [f"| {' | '.join(columns)} |", f"| --- | {numbers} |", *(f"| {' | '.join(row)} |" for row in rows)]


def _at(growth: Growth, size: int) -> str:
    return number(growth.costs[size]) if size in growth.costs else ""


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
