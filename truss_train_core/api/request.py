"""A request to the API is a value: it can be compared, printed, tested and repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Request(Generic[T]):
    """One call.

    Attributes:
        method: HTTP method.
        path: path below the API's address ("/v1/…"); for `to="url"` a whole URL.
        read: turns the body of a good answer into the result.
        about: what the call is about, for the person who reads its error: "job abc of project p".
        query: query parameters; None values are not sent.
        headers: sent beside the key and what httpx sends anyway.
        body: JSON body, or None for no body. May hold secrets, so it is not shown.
        repeatable: whether sending it twice does no more than sending it once. A call that is not is never repeated
            after it may have reached the server.
        to: "api" for the management API, "graphql" for the older GraphQL endpoint, "url" for a presigned address,
            which is given no key, and "model" for a deployed model's address, which is.
        shared: whether one answer may serve everybody who asks the same at about the same time (`Client(share=…)`).
        reader: for a shared question: makes what reads its answers one after the other instead of `read`, so that it
            need not make anew what is as it was.
        timeout: seconds to wait for the answer, None for the client's own.
        local_extension: fields added to the body where the remote is a local platform; never sent anywhere else.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    about: str
    query: Mapping[str, str | int | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    repeatable: bool = True
    shared: bool = False
    reader: Callable[[], Callable[[bytes], T]] | None = None
    to: Literal["api", "graphql", "url", "model"] = "api"
    timeout: float | None = None
    local_extension: Mapping[str, Any] | None = None

    @cached_property
    def question(self) -> str:
        """What is asked: requests that ask the same have equal ones."""
        return json.dumps([self.method, self.path, dict(self.query), self.body], sort_keys=True)
