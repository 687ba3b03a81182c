"""scores.json of a gate job: a training job that loads checkpoints of other jobs and scores them on held-out data.

The file is an object of numbers for each checkpoint, by its name, and lies in one of the gate job's own checkpoints:

    $BT_CHECKPOINT_DIR/scores/scores.json       {"checkpoint-420": {"held_out_accuracy": 0.97}, …}

A job that finds two checkpoints of one name in its load directory writes "<job id>/<name>".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from truss_train_core.api.flows import Flow
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints.listing import Survey, download, survey
from truss_train_core.checkpoints.trainer_state import numbers

FILE = "scores.json"


def scored_by(
    gate_job: TrainingJob, among: Collection[tuple[str, str]]
) -> Callable[[Survey], Flow[dict[str, dict[str, float]]]]:
    """A source: what a gate job has written of the checkpoints that it loaded.

    Args:
        gate_job: which has completed.
        among: what it loaded: job ids, each with a checkpoint's name. Others have no score, even where they bear the
            same name.
    """

    def source(surveyed: Survey) -> Flow[dict[str, dict[str, float]]]:
        scores = yield from _scores((yield from survey(gate_job)))
        job_id = surveyed.job.id
        known = {}
        for checkpoint in surveyed.checkpoints:
            name = checkpoint.checkpoint_id
            if (job_id, name) in among:
                known[name] = numbers(scores.get(f"{job_id}/{name}") or scores.get(name) or {})
        return known

    return source


def _scores(of_gate_job: Survey) -> Flow[dict[str, dict[str, Any]]]:
    scores: dict[str, dict[str, Any]] = {}
    for checkpoint in of_gate_job.checkpoints:
        file = of_gate_job.file(checkpoint, FILE)
        content = (yield from download(file)) if file else None
        if content is not None:
            scores |= _parsed(content)
    return scores


def _parsed(content: bytes) -> dict[str, dict[str, Any]]:
    try:
        parsed = json.loads(content)
    except ValueError:
        return {}
    whole = parsed if isinstance(parsed, dict) else {}
    return {name: numbers for name, numbers in whole.items() if isinstance(numbers, dict)}
