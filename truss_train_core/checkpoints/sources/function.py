"""A user's own function: for everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from truss_train_core.api.flows import Flow, work
from truss_train_core.api.models import Checkpoint, CheckpointFile
from truss_train_core.checkpoints.listing import Survey

Measure = Callable[[Checkpoint, Sequence[CheckpointFile]], Mapping[str, float]]


def from_function(measure: Measure) -> Callable[[Survey], Flow[dict[str, Mapping[str, float]]]]:
    """A source that calls `measure` with each checkpoint and its files, whose `url` is a presigned GET.

    It may block; what it raises ends the flow.
    """

    def source(survey: Survey) -> Flow[dict[str, Mapping[str, float]]]:
        known = {}
        for checkpoint in survey.checkpoints:
            files = survey.files.get(checkpoint.checkpoint_id, ())
            known[checkpoint.checkpoint_id] = yield from work(partial(measure, checkpoint, files))
        return known

    return source
