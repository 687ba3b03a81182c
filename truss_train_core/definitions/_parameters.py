"""Hyperparameters: typed values on their way to a job, as environment variables or in a file of JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from pydantic import JsonValue

from truss_train_core.errors import DefinitionError

Parameter: TypeAlias = str | int | float | bool
"""What an environment variable can tell."""

RUNTIME_CONFIG = "runtime_config.json"
"""The file of a job's parameters, beside its config file (documentation)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FOR_MORE = "Lists, mappings and nulls go into runtime_config."


def as_variables(parameters: Mapping[str, Parameter], secrets: Collection[str]) -> dict[str, str]:
    """Parameters as environment variables.

    Raises:
        DefinitionError: see `TrainingProject.with_parameters`.
    """
    for name in parameters:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DefinitionError(
                f"{name!r} cannot be the name of an environment variable.",
                hint="It begins with a letter or an underscore, and has letters, digits and underscores only.",
            )
        if name in secrets:
            raise DefinitionError(
                f"Parameter {name} would replace the secret that the definition names for {name}.",
                hint="Give the parameter another name, or take the SecretReference out of the definition.",
            )
    return {name: _text(name, value) for name, value in parameters.items()}


def expect_json(config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """A copy of a JSON object.

    Raises:
        DefinitionError: it holds something that JSON has no form for, such as NaN.
    """
    for name, value in config.items():
        if not isinstance(name, str):
            raise DefinitionError(f"runtime_config: names are strings, and {name!r} is none.")
        _expect_json(f"runtime_config.{name}", value)
    copy: dict[str, JsonValue] = json.loads(json.dumps(dict(config)))
    return copy


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value):
        return json.dumps(value)
    what = str(value) if isinstance(value, float) else f"a {type(value).__name__}"
    raise DefinitionError(f"Parameter {name} is {what}; a string, number or boolean is needed.", hint=_FOR_MORE)


def _expect_json(place: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, each in value.items():
            _expect_json(f"{place}.{name}", each)
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            _expect_json(f"{place}[{number}]", each)
    elif isinstance(value, float) and not math.isfinite(value):
        raise DefinitionError(f"{place} is {value}, which JSON has no form for.")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise DefinitionError(
            f"{place} is a {type(value).__name__}; JSON holds strings, numbers, booleans, lists and mappings.",
            hint="A secret goes into the definition's environment variables, as a SecretReference.",
        )
