"""The loss of a run as a picture: SVG of a few kilobytes, drawn without a library.

Colours are attributes, which stand by themselves where the picture is an image; a page that holds the SVG can give the
classes of its elements others.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from truss_train_core.curves.joining import Curve

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 58, 34
_POINTS = 300
"""Points of a line at most."""
_LINES = (("loss", "#94a3b8"), ("eval_loss", "#2563eb"))
CHOSEN, QUIET, _GRID = "#d97706", "#475569", "#e2e8f0"

Point = tuple[float, float]
Place = Callable[[float], float]


def loss_curve(
    curves: Mapping[str, Curve], *, resumed: Iterable[tuple[int, float]] = (), chosen: float | None = None
) -> str | None:
    """The training loss and the evaluation loss over the steps of a run; None where fewer than two were measured.

    What a resumed attempt went back behind is drawn faint.

    Args:
        curves: of the run, by the name of the metric, as `joined` makes them.
        resumed: numbers of attempts and the steps that they went on from, to be marked.
        chosen: step of the chosen checkpoint, to be marked.
    """
    drawn = [(name, colour, curves[name]) for name, colour in _LINES if name in curves]
    points = [point for *_, curve in drawn for line in (curve.counted, curve.set_aside) for point in line.items()]
    if len(points) < 2:
        return None
    x, y, parts = plane([step for step, _ in points], [value for _, value in points], "loss by step")
    for attempt, step in resumed:
        parts += flag(x(step), f"attempt {attempt}", "resumed", QUIET, line=1)
    if chosen is not None:
        parts += flag(x(chosen), f"chosen: {chosen:.0f}", "chosen", CHOSEN, line=0)
    for place, (name, colour, curve) in enumerate(drawn):
        style = f'class="line {name}" fill="none" stroke="{colour}" stroke-width="2"'
        parts.append(f'<polyline points="{points_of(curve.counted, x, y)}" {style}/>')
        if curve.set_aside:
            aside = f'{style} stroke-dasharray="3" opacity="0.5"'
            parts.append(f'<polyline points="{points_of(curve.set_aside, x, y)}" {aside}/>')
        parts.append(label(LEFT + 80 * place, 14, f"— {name}", "start", name, colour))
    return "".join([*parts, "</svg>"])


def as_address(picture: str) -> str:
    """An SVG picture as a `data:` address, for what takes the address of an image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"


def plane(steps: Sequence[float], values: Sequence[float], about: str) -> tuple[Place, Place, list[str]]:
    """Where a step and a value lie, and the picture's beginning: background, grid, and the numbers at its sides."""
    first, last, low, high = min(steps), max(steps), min(values), max(values)

    def x(step: float) -> float:
        return LEFT + (step - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="12" role="img" aria-label="{escape(about)}">',
        f'<rect class="background" width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value in dict.fromkeys((low, (low + high) / 2, high)):
        parts.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="{_GRID}"/>')
        parts.append(label(LEFT - 6, y(value) + 4, f"{value:.2g}", "end", "number", QUIET))
    for step in dict.fromkeys((first, (first + last) / 2, last)):
        anchor = "end" if step == last else "middle"
        parts.append(label(x(step), HEIGHT - 12, _number(step), anchor, "number", QUIET))
    return x, y, parts


def flag(x: float, words: str, name: str, colour: str, *, line: int) -> list[str]:
    """A dashed line at a step, with words above it, in one of two lines of their own."""
    x = min(max(x, LEFT), WIDTH - RIGHT)
    anchor = "end" if x > WIDTH - 80 else "start" if x < LEFT + 40 else "middle"
    return [
        f'<path class="{name}" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{colour}" stroke-dasharray="4"/>',
        label(x, TOP - 6 - 14 * line, words, anchor, name, colour),
    ]


def _number(step: float) -> str:
    return f"{step:.3g}" if step < 100 else f"{step:.0f}"


def points_of(line: Mapping[float, float], x: Place, y: Place) -> str:
    """The points of a line, thinned out where there are more than can be told apart; the last one stays."""
    points = sorted(line.items())
    every = math.ceil(len(points) / _POINTS) or 1
    return " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points[(len(points) - 1) % every :: every])


def label(x: float, y: float, words: str, anchor: str, name: str, colour: str) -> str:
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
