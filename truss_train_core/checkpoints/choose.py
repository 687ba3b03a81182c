"""Choosing a checkpoint by a metric. Pure; the decision comes with the table it was made from.

Rules: the direction is said, never guessed from the name. NaN and infinities never win. The earliest wins a tie, as in
the Hugging Face Trainer. Whoever does not meet the requirement is in the table, with the reason, and not chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from truss_train_core.api.models import Checkpoint
from truss_train_core.checkpoints.listing import step_of
from truss_train_core.errors import NoUsableCheckpoint
from truss_train_core.events import ChoiceRow
from truss_train_core.values import Value

Mode = Literal["min", "max"]

_ROWS_IN_MESSAGE = 8


class Candidate(Value):
    """A checkpoint, what is known of it, and why it cannot be chosen, if so."""

    checkpoint: Checkpoint
    metrics: Mapping[str, float] = Field(default_factory=dict)
    rejected: str | None = None

    @property
    def step(self) -> int | None:
        return step_of(self.checkpoint.checkpoint_id)


class Choice(Value):
    """The chosen checkpoint and how it came to be chosen.

    Attributes:
        metric: the name under which the metric was found; None where the newest was chosen.
        reason: the decision in words.
        table: all candidates, the earliest first.
    """

    checkpoint: Checkpoint
    step: int | None
    metric: str | None
    mode: Mode | None
    value: float | None
    reason: str
    table: tuple[ChoiceRow, ...]


def choose_best(candidates: Sequence[Candidate], metric: str, mode: Mode) -> Choice:
    """The candidate with the smallest or largest value of a metric.

    Args:
        candidates: of one job or several.
        metric: its name. As in the Hugging Face Trainer, "loss" means "eval_loss" where that was measured.
        mode: "min" for losses, "max" for scores.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    return choose_top(candidates, metric, mode, 1)[0]


def choose_top(candidates: Sequence[Candidate], metric: str, mode: Mode, count: int) -> tuple[Choice, ...]:
    """The best candidates by a metric, the best first; fewer than `count` where fewer can be chosen.

    Args:
        candidates: of one job or several.
        metric: its name, as for `choose_best`.
        mode: "min" or "max".
        count: how many, at least one.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    if mode not in ("min", "max"):
        raise ValueError(f"mode is 'min' or 'max', not {mode!r}")
    if count < 1:
        raise ValueError(f"count is at least 1, not {count}")
    earliest_first = _earliest_first(candidates)
    name = measured_name(earliest_first, metric)
    table = tuple(_row(each, name) for each in earliest_first)
    usable = [
        (row.value, candidate)
        for row, candidate in zip(table, earliest_first, strict=True)
        if row.value is not None and row.rejected is None
    ]
    if not usable:
        raise _nothing(table, f"No checkpoint can be chosen by {name}")
    best_first = sorted(usable, key=lambda each: each[0], reverse=mode == "max")  # of equals, the first stays first
    among = f"of {len(usable)} usable of {len(table)} checkpoints"
    return tuple(
        Choice(
            checkpoint=candidate.checkpoint,
            step=candidate.step,
            metric=name,
            mode=mode,
            value=value,
            reason=f"{name} {value:.6g} is the {_ordinal(place, mode)} {among}",
            table=table,
        )
        for place, (value, candidate) in enumerate(best_first[:count], 1)
    )


def choose_newest(candidates: Sequence[Candidate]) -> Choice:
    """The candidate that was made last.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    earliest_first = _earliest_first(candidates)
    table = tuple(_row(each, None) for each in earliest_first)
    usable = [each for each in earliest_first if each.rejected is None]
    if not usable:
        raise _nothing(table, "No checkpoint can be chosen")
    best = usable[-1]
    reason = f"the newest of {len(usable)} usable of {len(table)} checkpoints"
    return Choice(
        checkpoint=best.checkpoint, step=best.step, metric=None, mode=None, value=None, reason=reason, table=table
    )


def _earliest_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: (each.checkpoint.created_at, each.step or 0))


def measured_name(candidates: Sequence[Candidate], metric: str) -> str:
    """The name under which a metric was measured: "eval_loss" for "loss", where there is such.

    One name for all candidates, so that like is compared with like.
    """
    names = {name for candidate in candidates for name in candidate.metrics}
    return f"eval_{metric}" if f"eval_{metric}" in names else metric


def _ordinal(place: int, mode: Mode) -> str:
    extreme = "smallest" if mode == "min" else "largest"
    return extreme if place == 1 else f"{extreme} but {place - 1}"


def _row(candidate: Candidate, metric: str | None) -> ChoiceRow:
    value = candidate.metrics.get(metric) if metric else None
    rejected = candidate.rejected
    if metric and not rejected:
        if value is None:
            measured = ", ".join(sorted(candidate.metrics)[:6])
            rejected = f"no {metric} ({f'it has {measured}' if measured else 'nothing was measured at its step'})"
        elif not math.isfinite(value):
            rejected = f"{metric} is {value}"
    return ChoiceRow(
        job_id=candidate.checkpoint.training_job_id,
        checkpoint=candidate.checkpoint.checkpoint_id,
        step=candidate.step,
        value=value if value is None or math.isfinite(value) else None,
        rejected=rejected,
    )


def _nothing(table: Sequence[ChoiceRow], what: str) -> NoUsableCheckpoint:
    return nothing_usable(what, [(row.checkpoint, row.rejected or "") for row in table])


def nothing_usable(what: str, lacks: Sequence[tuple[str, str]]) -> NoUsableCheckpoint:
    """The error that says what each checkpoint lacks."""
    if not lacks:
        return NoUsableCheckpoint(
            f"{what}: there is none.", hint="Is checkpointing enabled, and written into $BT_CHECKPOINT_DIR?"
        )
    shown = "; ".join(f"{name}: {why}" for name, why in lacks[:_ROWS_IN_MESSAGE])
    more = len(lacks) - _ROWS_IN_MESSAGE
    return NoUsableCheckpoint(f"{what}. {shown}{f'; and {more} more' if more > 0 else ''}.")
