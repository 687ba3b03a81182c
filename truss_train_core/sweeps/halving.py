"""Successive halving, each decision taken as soon as it is certain. Pure.

Trials are compared at rungs: at `first`, at `first` × eta, at `first` × eta² … Of N trials, N / eta go on beyond the
first rung, N / eta² beyond the second, and so on, at least one. A trial is stopped at the moment at which as many
others are known to be better at a rung as may go on beyond it. So no trial waits for another, whichever begins first
and however many run at once, as in ASHA (Li et al., 2020); and none is stopped that would go on if all ran side by
side, as in the original (Jamieson and Talwalkar, 2016).

More being known never takes a verdict back: whoever asks later, in whichever process, is told the same.

What counts at a rung is the first measurement there or after it. NaN and infinities are worse than any number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from truss_train_core.sweeps.trial import Halving, Objective

Records = Sequence[Mapping[str, float]]
"""What a trial has measured, in order: each with a "step", mostly with an "epoch"."""

_NAMED = 3


def why_stop(objective: Objective, of: int, number: int, measured: Mapping[int, Records]) -> str | None:
    """Why a trial is to be stopped, with the numbers; None while it may go on.

    Args:
        objective: of the sweep.
        of: how many trials it has.
        number: of the trial in question.
        measured: by all trials, by number; those that have measured nothing may be missing.
    """
    name = objective.metric
    if diverged := _diverged(measured.get(number, ()), (name, "loss"), objective.unit):
        return diverged
    if objective.halving is None:
        return None
    courses = {each: course(records, name, objective.unit) for each, records in measured.items()}
    for rung, quota in _rungs(objective.halving, of, max(courses.get(number, {}), default=0.0)):
        reached = {each: at for each, values in courses.items() if (at := _at(values, rung)) is not None}
        own_place, own = reached.pop(number)
        better = {each: value for each, (_, value) in reached.items() if _is_better(objective, value, own)}
        if len(better) >= quota:
            ranked = sorted(better, key=lambda each: better[each], reverse=objective.mode == "max")
            who = ", ".join(f"trial {each} ({better[each]:.4g})" for each in ranked[:_NAMED])
            more = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
            unit = objective.unit
            return (
                f"{name} is {own:.4g} at {unit} {own_place:g}; {who}{more} did better at {unit} {rung:g}, "
                f"beyond which {quota} of {of} go on"
            )
    return None


def course(records: Records, name: str, unit: str) -> dict[float, float]:
    """The metric by step or epoch, in order, NaN and infinities included."""
    values = {record[unit]: record[name] for record in records if unit in record and name in record}
    return {place: values[place] for place in sorted(values)}


def is_compared(objective: Objective, records: Records) -> bool:
    """Whether a trial has got to where it is compared with others."""
    reached = max(course(records, objective.metric, objective.unit), default=0.0)
    return objective.halving is not None and reached >= objective.halving.first


def _rungs(halving: Halving, of: int, reached: float) -> Iterator[tuple[float, int]]:
    """The rungs up to a place, and how many trials go on beyond each."""
    rung, quota = halving.first, of
    while rung <= reached:
        quota = max(1, quota // halving.eta)
        yield rung, quota
        rung *= halving.eta


def _at(values: Mapping[float, float], rung: float) -> tuple[float, float] | None:
    """The first measurement at a rung or after it, and where; None before."""
    return next(((place, value) for place, value in values.items() if place >= rung), None)


def _is_better(objective: Objective, value: float, than: float) -> bool:
    if not math.isfinite(value):
        return False
    return not math.isfinite(than) or (value < than if objective.mode == "min" else value > than)


def _diverged(records: Records, names: Sequence[str], unit: str) -> str | None:
    for name in names:
        values = [(record.get(unit, record["step"]), record[name]) for record in records if name in record]
        diverged = list(takewhile(lambda each: not math.isfinite(each[1]), reversed(values)))
        if diverged:
            place, value = diverged[-1]
            return f"{name} is {value} since {unit} {place:g}"
    return None
