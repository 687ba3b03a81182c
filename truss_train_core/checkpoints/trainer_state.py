"""trainer_state.json, which the Hugging Face Trainer and its relatives (TRL, Unsloth, Axolotl, LLaMA-Factory, ms-swift)
write into each checkpoint, last but one: that it parses says a good deal about the checkpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from functools import cached_property
from pathlib import PurePath
from typing import Any

from pydantic import Field, ValidationError

from truss_train_core.values import Value

FILE = "trainer_state.json"


class TrainerState(Value):
    """The fields that matter here.

    Attributes:
        log_history: flat records with a `step`, of this checkpoint and all before it; losses and evaluations of one
            step are records of their own.
        best_model_checkpoint: a path on the machine that trained; `best_checkpoint` is its name.
    """

    global_step: int
    epoch: float | None = None
    max_steps: int | None = None
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    log_history: list[dict[str, Any]] = Field(default=[])

    @property
    def best_checkpoint(self) -> str | None:
        """What the trainer itself held for the best, as a checkpoint's name; None where it was not told a metric."""
        if self.best_model_checkpoint:
            return PurePath(self.best_model_checkpoint.replace("\\", "/")).name
        return None if self.best_global_step is None else f"checkpoint-{self.best_global_step}"

    def at(self, step: int) -> dict[str, float]:
        """Everything that was measured at exactly this step."""
        return dict(self._by_step.get(step, {}))

    @cached_property
    def _by_step(self) -> dict[object, dict[str, float]]:
        """What was measured at each step: sorted once, since it is asked for each checkpoint."""
        measured: defaultdict[object, dict[str, float]] = defaultdict(dict)
        for record in self.log_history:
            values = {name: value for name, value in numbers(record).items() if name not in ("step", "epoch")}
            if isinstance(step := record.get("step"), Hashable):
                measured[step].update(values)
        return measured


def parse(content: bytes) -> TrainerState | None:
    """The state, or None where this is none."""
    try:
        return TrainerState.model_validate_json(content)
    except ValidationError:
        return None


def numbers(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record. NaN is a number, True is not."""
    return {
        name: float(value)
        for name, value in record.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
