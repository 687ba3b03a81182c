"""The base of values: models that are checked when they are made, and never change.

What checks them is built with the first of its kind, not at import: a process pays for those that it uses.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A value, which may come from a newer version of this package: unknown fields are dropped."""

    model_config = ConfigDict(frozen=True, defer_build=True, protected_namespaces=())


class Setting(Value):
    """A value that a user writes: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")
