"""What all definitions have in common: how a field is checked, and how a mistake is reported."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from truss_train_core.values import Deferred

Text = Annotated[str, StringConstraints(min_length=1)]
"""A string that says something: never empty."""


@dataclass
class Leniency:
    """As the context of a validation: unknown fields, at any depth, are left aside and noted, as the API does.

    For definitions that came over the wire, from clients that may be newer than this package.
    """

    left_aside: list[str] = field(default_factory=list)


class Definition(Deferred):
    """Base of every definition: a value that a user writes, checked when built and again when a field is assigned.

    Unknown fields are errors, except under `Leniency`. Pydantic's errors do not show what a field was given, since that
    may be a secret.
    Objects of the truss package are accepted wherever one of ours is, and read by their fields.
    """

    # Lists and dicts that are defaults of fields stand as they are, for pydantic copies them: to read the signature of
    # `list` as a factory took a tenth of the import of this package and its first definition.
    model_config = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_fields(cls, data: Any, info: ValidationInfo) -> Any:
        data = fields_if_from_truss(data)
        if not isinstance(data, Mapping) or not (unknown := [name for name in data if name not in cls.model_fields]):
            return data
        if not isinstance(info.context, Leniency):
            raise ValueError("; ".join(_no_field(name, cls.model_fields) for name in unknown))
        info.context.left_aside += [f"{cls.__name__}.{name}" for name in unknown]
        return {name: value for name, value in data.items() if name not in unknown}

    if not TYPE_CHECKING:  # a visible __setattr__ would stop type checkers from checking assignments

        def __setattr__(self, name: str, value: Any) -> None:
            fields = type(self).model_fields
            if name not in fields and not name.startswith("_"):
                raise ValueError(f"{type(self).__name__}: {_no_field(name, fields)}")
            super().__setattr__(name, value)


class Choice(str, enum.Enum):
    """Base of the enums: found by their text as well, in any case and with `-` for `_`."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        wanted = str(value).strip().lower().replace("-", "_")
        for member in cls:
            if member.value.lower() == wanted:
                return member
        raise ValueError(f"{value!r} is not one of {', '.join(member.value for member in cls)}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(cls, handler(source))

    __str__ = str.__str__  # the text, in f-strings too, on every version of Python


def fields_if_from_truss(value: Any) -> Any:
    """The fields of a model of the truss package, by name; any other value as it is."""
    package = type(value).__module__.partition(".")[0]
    return dict(value) if isinstance(value, BaseModel) and package in {"truss", "truss_train"} else value


def _no_field(name: object, fields: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(str(name), list(fields), n=1)
    suggestion = f"did you mean {nearest[0]!r}?" if nearest else f"the fields are {', '.join(fields)}"
    return f"there is no field {name!r}; {suggestion}"
