"""A regular expression over the job's log, for training code that writes no file at all."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from truss_train_core.api.flows import Flow
from truss_train_core.api.models import LogLine, TrainingJob
from truss_train_core.checkpoints.listing import Survey, step_of

PLACES = ("step", "epoch")


def from_log(
    pattern: str, read_log: Callable[[TrainingJob], Flow[Iterable[LogLine]]]
) -> Callable[[Survey], Flow[dict[str, dict[str, float]]]]:
    r"""A source that finds metrics in log lines.

    Args:
        pattern: searched for in each line. A group named `step` or `epoch` is matched with the number in a
            checkpoint's name; every other named group is a metric:
            r"step (?P<step>\d+).* eval_loss (?P<eval_loss>\S+)".
        read_log: reads a job's log, such as `jobs.fetch_log`.

    Raises:
        ValueError: the pattern is not a regular expression, or lacks such groups.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    places = [group for group in PLACES if group in compiled.groupindex]
    metrics = [group for group in compiled.groupindex if group not in PLACES]
    if not places or not metrics:
        raise ValueError(f"{pattern!r} needs a group named step or epoch, (?P<step>\\d+), and one named as the metric")

    def source(survey: Survey) -> Flow[dict[str, dict[str, float]]]:
        measured = _measured(compiled, places[0], metrics, (yield from read_log(survey.job)))
        steps = {checkpoint.checkpoint_id: step_of(checkpoint.checkpoint_id) for checkpoint in survey.checkpoints}
        return {name: measured[step] for name, step in steps.items() if step is not None and step in measured}

    return source


def _measured(
    pattern: re.Pattern[str], place: str, metrics: list[str], lines: Iterable[LogLine]
) -> dict[int, dict[str, float]]:
    """Numbers by step; of a step that was logged twice, the later line counts."""
    measured: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for line in lines:
        match = pattern.search(line.message)
        if match and match[place]:
            found = {name: _number(match[name]) for name in metrics if match[name]}
            measured[int(float(match[place]))].update({name: n for name, n in found.items() if n is not None})
    return dict(measured)


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip(",;%"))
    except ValueError:
        return None
