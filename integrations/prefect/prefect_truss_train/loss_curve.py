"""The loss curve as a picture that fits into an address: an SVG of a few kilobytes, drawn without a library."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from truss_train_core.checkpoints import TrainerState
    from truss_train_core.runs import Chosen

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 16, 30, 34
POINTS = 300
"""Points of a line at most."""
LINES = (("loss", "#94a3b8"), ("eval_loss", "#2563eb"))
CHOSEN = "#d97706"

Point = tuple[float, float]


def loss_curve(state: TrainerState, chosen: Chosen | None = None) -> str | None:
    """A `data:` address of the picture; None where fewer than two losses were logged.

    Args:
        state: whose history is drawn.
        chosen: the checkpoint to be marked.
    """
    series = {name: _points(state, name) for name, _ in LINES}
    everything = [point for points in series.values() for point in points]
    if len(everything) < 2:
        return None
    step = chosen.checkpoint.step if chosen else None
    picture = _svg(series, everything, step)
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"


def _points(state: TrainerState, name: str) -> list[Point]:
    """(step, value) of what was logged by that name, thinned out where there is much."""
    logged = [(record.get("step"), record.get(name)) for record in state.log_history]
    points = [
        (float(step), float(value))
        for step, value in logged
        if isinstance(step, (int, float)) and isinstance(value, (int, float)) and math.isfinite(value)
    ]
    every = math.ceil(len(points) / POINTS) or 1
    return points[::every]


def _svg(series: dict[str, list[Point]], everything: Sequence[Point], chosen_step: int | None) -> str:
    first, last = min(step for step, _ in everything), max(step for step, _ in everything)
    low, high = min(value for _, value in everything), max(value for _, value in everything)

    def x(step: float) -> float:
        return LEFT + (step - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value in (low, (low + high) / 2, high):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#e2e8f0"/>')
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:.3g}", "end"))
    for step in (first, (first + last) / 2, last):
        parts.append(_text(x(step), HEIGHT - 12, f"{step:.0f}", "middle"))
    if chosen_step is not None and first <= chosen_step <= last:
        parts.append(
            f'<path d="M{x(chosen_step):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{CHOSEN}" stroke-dasharray="4"/>'
        )
        parts.append(_text(x(chosen_step), TOP - 6, f"chosen: {chosen_step}", "middle", CHOSEN))
    for position, (name, colour) in enumerate(LINES):
        if points := series[name]:
            line = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts.append(_text(LEFT + 90 * position, 16, f"— {name}", "start", colour))
    return "".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#475569") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
