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

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 58, 34
_POINTS = 300
"""Points of a line at most."""
_LINES = (("loss", "#94a3b8"), ("eval_loss", "#2563eb"))
_CHOSEN, _QUIET, _GRID = "#d97706", "#475569", "#e2e8f0"

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
    x, y, frame = _frame([step for step, _ in points], [value for _, value in points])
    parts = [*frame]
    for attempt, step in resumed:
        parts += _mark(x(step), f"attempt {attempt}", "resumed", _QUIET, line=1)
    if chosen is not None:
        parts += _mark(x(chosen), f"chosen: {chosen:.0f}", "chosen", _CHOSEN, line=0)
    for place, (name, colour, curve) in enumerate(drawn):
        style = f'class="line {name}" fill="none" stroke="{colour}" stroke-width="2"'
        parts.append(f'<polyline points="{_path(curve.counted, x, y)}" {style}/>')
        if curve.set_aside:
            aside = f'{style} stroke-dasharray="3" opacity="0.5"'
            parts.append(f'<polyline points="{_path(curve.set_aside, x, y)}" {aside}/>')
        parts.append(_text(_LEFT + 80 * place, 14, f"— {name}", "start", name, colour))
    return "".join([*parts, "</svg>"])


def as_address(picture: str) -> str:
    """An SVG picture as a `data:` address, for what takes the address of an image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"


def _frame(steps: Sequence[float], values: Sequence[float]) -> tuple[Place, Place, list[str]]:
    """Where a step and a value lie, and the picture's beginning: background, grid, and the numbers at its sides."""
    first, last, low, high = min(steps), max(steps), min(values), max(values)

    def x(step: float) -> float:
        return _LEFT + (step - first) / ((last - first) or 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" role="img" aria-label="loss by step">',
        f'<rect class="background" width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for value in dict.fromkeys((low, (low + high) / 2, high)):
        parts.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 6, y(value) + 4, f"{value:.2g}", "end", "number", _QUIET))
    for step in dict.fromkeys((first, (first + last) / 2, last)):
        anchor = "end" if step == last else "middle"
        parts.append(_text(x(step), _HEIGHT - 12, f"{step:.0f}", anchor, "number", _QUIET))
    return x, y, parts


def _mark(x: float, words: str, name: str, colour: str, *, line: int) -> list[str]:
    """A dashed line at a step, with words above it, in one of two lines of their own."""
    x = min(max(x, _LEFT), _WIDTH - _RIGHT)
    anchor = "end" if x > _WIDTH - 80 else "start" if x < _LEFT + 40 else "middle"
    return [
        f'<path class="{name}" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{colour}" stroke-dasharray="4"/>',
        _text(x, _TOP - 6 - 14 * line, words, anchor, name, colour),
    ]


def _path(line: Mapping[float, float], x: Place, y: Place) -> str:
    """The points of a line, thinned out where there are more than can be told apart; the last one stays."""
    points = sorted(line.items())
    every = math.ceil(len(points) / _POINTS) or 1
    return " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points[(len(points) - 1) % every :: every])


def _text(x: float, y: float, text: str, anchor: str, name: str, colour: str) -> str:
    return f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
