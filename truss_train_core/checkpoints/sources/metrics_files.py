"""metrics.json or metrics.jsonl beside the weights: for training code that writes no trainer_state.json.

The first is an object of numbers. The second is one object per line; of those with a `step`, the ones of the
checkpoint's step count, and without steps the last line does.
"""

from __future__ import annotations

import json
from typing import Any

from truss_train_core.api.flows import Flow, together
from truss_train_core.api.models import CheckpointFile
from truss_train_core.checkpoints.listing import Survey, download, step_of
from truss_train_core.checkpoints.trainer_state import numbers

FILES = ("metrics.json", "metrics.jsonl")


def metrics_file(survey: Survey) -> Flow[dict[str, dict[str, float]]]:
    """The numbers in each checkpoint's file; checkpoints without one are left out."""
    files = [
        (checkpoint.checkpoint_id, file)
        for checkpoint in survey.checkpoints
        for file in filter(None, (survey.file(checkpoint, each) for each in FILES))
    ]
    read = yield from together(_read(file, step_of(name)) for name, file in files)
    known: dict[str, dict[str, float]] = {}
    for (name, _), measured in zip(files, read, strict=True):
        if measured is not None:
            known[name] = {**measured, **known.get(name, {})}
    return known


def _read(file: CheckpointFile, step: int | None) -> Flow[dict[str, float] | None]:
    content = yield from download(file)
    return None if content is None else parse(content, step)


def parse(content: bytes, step: int | None) -> dict[str, float]:
    """The numbers in such a file that are those of a checkpoint of this step."""
    return _numbers(_records(content), step)


def _records(content: bytes) -> list[dict[str, Any]]:
    text = content.decode(errors="replace")
    try:
        whole = json.loads(text)
        parsed = whole if isinstance(whole, list) else [whole]
    except ValueError:
        parsed = [_parsed(line) for line in text.splitlines()]
    return [record for record in parsed if isinstance(record, dict)]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None  # a line that was being written


def _numbers(records: list[dict[str, Any]], step: int | None) -> dict[str, float]:
    if len(records) > 1 and any("step" in record for record in records):
        records = [record for record in records if record.get("step") == step]
    else:
        records = records[-1:]
    measured: dict[str, float] = {}
    for record in records:
        measured |= numbers(record)
    return {name: value for name, value in measured.items() if name not in ("step", "epoch")}
