"""Environment variables, and the secrets that they take their values from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from ._base import Definition, Text


class SecretReference(Definition):
    """Names a secret of the Baseten workspace; the value is put in place on the other side and never passes here."""

    name: Text


def _text_or_reference(value: Any) -> Any:
    if isinstance(value, Mapping):
        return SecretReference.model_validate(value)
    if isinstance(value, (str, BaseModel)):
        return value
    raise ValueError(f"a string or a SecretReference is needed, not {type(value).__name__}")


EnvironmentVariables = dict[str, Annotated[str | SecretReference, BeforeValidator(_text_or_reference)]]
"""Values by name. People do write tokens here in plain text, so fields of this type are kept out of reprs."""
