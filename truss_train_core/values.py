"""The base of values: models that are checked when they are made, and never change.

What checks them is built with the first of its kind, not at import: a process pays for those that it uses. Threads
that make the first ones at the same time wait for each other. From 2.14 on, pydantic sees to that itself; before, one
of them could find a class half built.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

_building = threading.RLock()


class Deferred(BaseModel):
    """A model that is built when the first one is made."""

    model_config = ConfigDict(defer_build=True)

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        _parent_namespace_depth: int = 2,
        _types_namespace: Mapping[str, Any] | None = None,
    ) -> bool | None:
        """What pydantic calls to build a model that is not built yet, by one thread at a time."""
        with _building:
            return super().model_rebuild(
                force=force,
                raise_errors=raise_errors,
                _parent_namespace_depth=_parent_namespace_depth + 1,  # this function lies between
                _types_namespace=_types_namespace,
            )


class Value(Deferred):
    """A value, which may come from a newer version of this package: unknown fields are dropped."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Setting(Value):
    """A value that a user writes, or one process for another: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")
