"""HTML out of templates, and how numbers and times are written in it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def html(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page."""
    return HTMLResponse(render(template, path=request.url.path, **values), status_code=status)


def render(template: str, **values: Any) -> str:
    """A template of this package, with everything that is put into it escaped."""
    return _TEMPLATES.get_template(template).render(values)


def size(count: float) -> str:
    """Bytes, for people: "1.5 GiB"."""
    for unit in _BINARY_UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} {_BINARY_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Seconds, for people: "12 s", "3 min 20 s", "2 h 5 min", "4 d 1 h"."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def number(value: float) -> str:
    """A measurement, to four digits."""
    return f"{value:.4g}"


def iso(seconds: float) -> str:
    """Seconds since the epoch as `<time datetime>` wants them; the browser shows them in its own zone."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def state(status: str) -> str:
    """A status without its prefix, as a word: "running"."""
    return status.removeprefix("TRAINING_JOB_").lower().replace("_", " ")


_TEMPLATES = Environment(
    loader=PackageLoader("truss_train_core.local.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.filters |= {"size": size, "duration": duration, "number": number, "iso": iso, "state": state}
