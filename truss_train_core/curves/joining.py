"""The measurements of a run's attempts as one curve for each metric. Pure.

What was measured comes from training states, which tell of everything up to their checkpoint. An attempt that goes on
from step 900 continues the curve there; what the one before it measured after step 900 is set aside.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_NOT_DRAWN = re.compile(r"_runtime$|_per_second$|^total_flos$|^(train_)?steps?$|^epoch$")
"""How fast it went, and where: not how well."""


@dataclass(frozen=True)
class Measured:
    """What one attempt of a run measured.

    Attributes:
        number: of the attempt, from 1.
        start: the step of the checkpoint that it went on from; None where it began anew.
        records: the measurements, each with a "step".
    """

    job_id: str
    number: int
    start: int | None
    records: Sequence[Mapping[str, float]]


@dataclass
class Curve:
    """One metric over the steps of a run: what counts, and what was measured after the step that was gone back to."""

    counted: dict[float, float] = field(default_factory=dict)
    set_aside: dict[float, float] = field(default_factory=dict)


def joined(run: Iterable[Measured]) -> dict[str, Curve]:
    """The curve of each metric over all attempts, by the metric's name."""
    curves: defaultdict[str, Curve] = defaultdict(Curve)
    for attempt in run:
        start = -math.inf if attempt.start is None else attempt.start
        if attempt.number > 1:
            for curve in curves.values():
                gone = {step: value for step, value in curve.counted.items() if step > start}
                curve.set_aside.update(gone)
                curve.counted = {step: value for step, value in curve.counted.items() if step not in gone}
        for record in attempt.records:
            for name, value in record.items():
                if not _NOT_DRAWN.search(name) and math.isfinite(value):
                    known = curves[name].counted
                    if record["step"] > start or record["step"] not in known:
                        known[record["step"]] = value
    return dict(curves)


def resumed_at(run: Iterable[Measured]) -> list[tuple[int, float]]:
    """The attempts after the first, by number, and the step that each went on from; 0 where it began anew."""
    return [(attempt.number, attempt.start or 0) for attempt in run if attempt.number > 1]
