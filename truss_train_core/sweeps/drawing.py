"""The trials of a sweep as a picture: a line for each, SVG of a few kilobytes. See `curves/drawing.py`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from truss_train_core.curves import drawing
from truss_train_core.curves.drawing import CHOSEN, LEFT, QUIET, label
from truss_train_core.sweeps.results import Results
from truss_train_core.sweeps.trial import shown

_COLOURS = {"completed": "#2563eb", "stopped early": "#94a3b8", "failed": "#dc2626"}
_OTHERS = "#64748b"
_FAR = 3.0
"""A measurement so many times as far from the best as the quartile of the worse ones lies at the edge."""
_NUMBER = (18.0, 12.0)
"""Width and height of a trial's number."""
_LEGEND = 70
"""Characters of the chosen trial's parameters."""


def picture(results: Results) -> str | None:
    """The metric of each trial over steps or epochs, numbered at its end; None where fewer than two were measured.

    A trial that was stopped early ends in a cross. The chosen trial is drawn in a colour of its own.
    """
    drawn = [outcome for outcome in results.outcomes if outcome.course]
    objective = results.outcomes[0].trial.objective
    places = [place for outcome in drawn for place in outcome.course]
    if len(places) < 2:
        return None
    worst = _edge([value for outcome in drawn for value in outcome.course.values()], objective.mode)
    lines = {outcome.trial.number: _within(outcome.course, worst, objective.mode) for outcome in drawn}
    values = [value for line in lines.values() for value in line.values()]
    about = f"{objective.metric} by {objective.unit}, for each trial"
    x, y, parts = drawing.plane(places, values, about)
    taken: list[drawing.Point] = []
    for outcome in sorted(drawn, key=lambda each: each is results.chosen):  # the chosen one above the others
        line = lines[outcome.trial.number]
        if outcome is results.chosen:
            kind, colour, width = "chosen", CHOSEN, 3.0
        else:
            kind, colour, width = outcome.state.replace(" ", "-"), _COLOURS.get(outcome.state, _OTHERS), 1.5
        style = f'class="trial {kind}" fill="none" stroke="{colour}" stroke-width="{width}"'
        parts.append(f'<polyline points="{drawing.points_of(line, x, y)}" {style}/>')
        end, value = list(line.items())[-1]
        if outcome.state == "stopped early":
            parts.append(f'<path d="M{x(end) - 4:.1f} {y(value) - 4:.1f}l8 8m0 -8l-8 8" {style}/>')
        place = _free(x(end) - 6, y(value) - 6, taken)
        parts.append(label(*place, str(outcome.trial.number), "end", "number", colour))
    parts += _legend(results, about)
    return "".join([*parts, "</svg>"])


def _free(x: float, y: float, taken: list[drawing.Point]) -> drawing.Point:
    """A place for a number, moved to the left of those that are there."""
    while any(abs(x - other_x) < _NUMBER[0] and abs(y - other_y) < _NUMBER[1] for other_x, other_y in taken):
        x -= _NUMBER[0]
    taken.append((x, y))
    return x, y


def _legend(results: Results, about: str) -> list[str]:
    states = list(dict.fromkeys(outcome.state for outcome in results.outcomes))
    counts = ", ".join(f"{sum(each.state == state for each in results.outcomes)} {state}" for state in states)
    lines = [label(LEFT, 14, f"{about}: {counts}", "start", "about", QUIET)]
    if results.chosen:
        trial = results.chosen.trial
        words = f"★ trial {trial.number}: {shown(trial.parameters)}"
        words = words if len(words) <= _LEGEND else f"{words[: _LEGEND - 1]}…"
        lines.append(label(LEFT, 34, words, "start", "chosen", CHOSEN))
    return lines


def _edge(values: Sequence[float], mode: str) -> float:
    """The worst value that is drawn where it lies: one trial that diverges does not flatten all others."""
    if len(values) < 4:
        return max(values) if mode == "min" else min(values)
    low, _, high = statistics.quantiles(values, n=4)
    if mode == "min":
        return min(max(values), min(values) + _FAR * (high - min(values)))
    return max(min(values), max(values) - _FAR * (max(values) - low))


def _within(course: Mapping[float, float], worst: float, mode: str) -> dict[float, float]:
    pick = min if mode == "min" else max
    return {place: pick(value, worst) for place, value in course.items()}
