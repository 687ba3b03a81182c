"""Where the metrics of checkpoints come from. A source is a flow from a survey to numbers by checkpoint.

To add one, write a file here with such a function and name it in `DEFAULT`, or hand it in where metrics are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from truss_train_core.api.flows import Flow
from truss_train_core.checkpoints.listing import Survey
from truss_train_core.checkpoints.sources.function import from_function
from truss_train_core.checkpoints.sources.history import training_history
from truss_train_core.checkpoints.sources.log_pattern import from_log
from truss_train_core.checkpoints.sources.metrics_files import metrics_file
from truss_train_core.checkpoints.sources.scores import scored_by

Metrics: TypeAlias = Mapping[str, Mapping[str, float]]
"""By checkpoint name, numbers by metric name."""

Source: TypeAlias = Callable[[Survey], Flow[Metrics]]

DEFAULT: tuple[Source, ...] = (training_history, metrics_file)
"""Asked in this order; where two know a metric of a checkpoint, the first is believed."""


def read_metrics(survey: Survey, sources: Iterable[Source] = DEFAULT) -> Flow[Metrics]:
    """What the sources know of a job's checkpoints."""
    known: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for source in sources:
        for checkpoint, metrics in (yield from source(survey)).items():
            known[checkpoint] = {**metrics, **known[checkpoint]}
    return dict(known)


__all__ = [
    "DEFAULT",
    "Metrics",
    "Source",
    "from_function",
    "from_log",
    "metrics_file",
    "read_metrics",
    "scored_by",
    "training_history",
]
