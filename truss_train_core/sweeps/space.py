"""From a search space to trials: all of a grid, or a random sample. The same arguments give the same trials.

A space is a mapping from parameters to what they may be: a list of values, or a `Range`, also as JSON:

    {"LEARNING_RATE": {"low": 1e-4, "high": 0.1, "scale": "log"}, "HIDDEN": [64, 128]}
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import JsonValue, TypeAdapter, ValidationError, model_validator

from truss_train_core.errors import DefinitionError
from truss_train_core.sweeps.trial import Objective, Trial
from truss_train_core.values import Setting

Delivery = Literal["environment", "runtime_config"]
_DRAWS = 100
"""How often a trial is drawn anew that is the same as another."""


class Range(Setting):
    """All numbers from `low` to `high`, whole ones where both are whole; on a log scale, each power as likely."""

    low: int | float
    high: int | float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _has_numbers(self) -> Range:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low must be less than high, and both be finite: {self.low}, {self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"a log scale begins above 0, not at {self.low}")
        return self

    def draw(self, source: random.Random) -> int | float:
        """One of them."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            if self.scale == "linear":
                return source.randint(self.low, self.high)
            drawn = math.exp(source.uniform(math.log(self.low), math.log(self.high + 1)))
            return min(self.high, int(drawn))
        if self.scale == "linear":
            return source.uniform(self.low, self.high)
        drawn = math.exp(source.uniform(math.log(self.low), math.log(self.high)))
        return min(self.high, max(self.low, drawn))


_SPACE: TypeAdapter[dict[str, Range | list[JsonValue]]] = TypeAdapter(dict[str, Range | list[JsonValue]])
Space = Mapping[str, Range | Sequence[Any] | Mapping[str, Any]]


def grid(space: Space, objective: Objective, *, key: str, delivery: Delivery = "environment") -> list[Trial]:
    """A trial for each combination of values, the last parameter changing first.

    Args:
        space: lists of values.
        objective: what the sweep is after.
        key: its identity, from `jobs.run_key`.
        delivery: how parameters reach the job.

    Raises:
        DefinitionError: the space is empty, or has a parameter of a range, which has no end of values.
    """
    checked = _checked(space)
    if ranges := [name for name, values in checked.items() if isinstance(values, Range)]:
        raise DefinitionError(f"{', '.join(ranges)}: a grid needs a list of values, not a range.", hint="Or sample it.")
    lists = [values for values in checked.values() if isinstance(values, list)]
    combinations = [dict(zip(checked, values, strict=True)) for values in itertools.product(*lists)]
    return _trials(combinations, objective, key, delivery)


def sample(
    space: Space, count: int, objective: Objective, *, key: str, seed: int = 0, delivery: Delivery = "environment"
) -> list[Trial]:
    """So many random trials, no two of them the same; fewer where the space has fewer.

    Args:
        space: lists of values, and ranges.
        count: how many.
        objective: what the sweep is after.
        key: its identity, from `jobs.run_key`.
        seed: of the random numbers.
        delivery: how parameters reach the job.

    Raises:
        DefinitionError: the space is empty, or `count` is not positive.
    """
    checked = _checked(space)
    if count < 1:
        raise DefinitionError(f"A sweep has at least one trial, not {count}.")
    source = random.Random(seed)  # noqa: S311 (a search, not a secret)
    drawn: dict[str, dict[str, JsonValue]] = {}
    for _ in range(count * _DRAWS):
        if len(drawn) == count:
            break
        parameters: dict[str, JsonValue] = {
            name: values.draw(source) if isinstance(values, Range) else source.choice(values)
            for name, values in checked.items()
        }
        drawn.setdefault(json.dumps(parameters), parameters)
    return _trials(list(drawn.values()), objective, key, delivery)


def _checked(space: Space) -> dict[str, Range | list[JsonValue]]:
    try:
        checked = _SPACE.validate_python({n: list(v) if isinstance(v, tuple) else v for n, v in space.items()})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DefinitionError(f"The search space does not say what {place} may be: {first['msg']}.") from error
    if not checked:
        raise DefinitionError("The search space is empty.")
    if empty := [name for name, values in checked.items() if values == []]:
        raise DefinitionError(f"The search space has no value for {', '.join(empty)}.")
    return checked


def _trials(
    combinations: Sequence[dict[str, JsonValue]], objective: Objective, key: str, delivery: Delivery
) -> list[Trial]:
    return [
        Trial(
            sweep=key,
            number=number,
            of=len(combinations),
            parameters=parameters,
            delivery=delivery,
            objective=objective,
        )
        for number, parameters in enumerate(combinations, 1)
    ]
