"""One module for each row, with a function `measure(quick)`."""

from __future__ import annotations

from importlib import import_module

from benchmarks.results import Result


def measured(name: str, quick: bool) -> Result:
    """The result of the row of this name."""
    result: Result = import_module(f"{__name__}.{name}").measure(quick)
    return result
