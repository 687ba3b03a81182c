"""A call to the management API, as handlers see it: plain functions from a `Call` to a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import from_validation, invalid

M = TypeVar("M", bound=BaseModel)
Answer = BaseModel | Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call: its request, and the body that came with it. What few handlers look at is read when they do."""

    request: Request = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def platform(self) -> Platform:
        platform: Platform = self.request.app.state.platform
        return platform

    @property
    def base_url(self) -> str:
        """The platform's address as the client wrote it, without a slash at its end."""
        return str(self.request.base_url).rstrip("/")

    @property
    def path(self) -> Mapping[str, str]:
        """The variables of the path."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    def body(self, model: type[M]) -> M:
        """The body, checked. A missing one counts as an empty object.

        Raises:
            Problem: 400.
        """
        return _checked(model, self.json())

    def options(self, model: type[M]) -> M:
        """The query, checked.

        Raises:
            Problem: 400.
        """
        return _checked(model, dict(self.query))

    def asked(self, model: type[M]) -> M:
        """What is asked for, checked: in the query of a GET, or in the body of a POST, as older clients send it.

        Raises:
            Problem: 400.
        """
        return _checked(model, {**self.query, **self.json()})

    def json(self) -> dict[str, Any]:
        """The body as JSON.

        Raises:
            Problem: 400: it is not a JSON object.
        """
        try:
            body = json.loads(self.content or b"{}")
        except ValueError as error:
            raise invalid(f"The body is not JSON: {error}.") from None
        if not isinstance(body, dict):
            raise invalid("The body is not a JSON object.")
        return body


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    """An endpoint that is served: which, and by what.

    Attributes:
        in_thread: where the handler runs. In the event loop it holds up every other call, so that is for one short
            statement, which takes less time than to go to a thread and back.
    """

    method: str
    path: str
    handler: Handler
    in_thread: bool = True


def _checked(model: type[M], value: Any) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise from_validation(error) from None
