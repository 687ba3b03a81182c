"""From what came back (an answer, an error, silence) to a result or one of the errors of `errors.py`."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from truss_train_core.api.models import ErrorBody
from truss_train_core.api.request import Request
from truss_train_core.errors import (
    AnswerLost,
    ApiError,
    Forbidden,
    NotFound,
    RateLimited,
    Rejected,
    ServerError,
    TrussTrainError,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)

T = TypeVar("T")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
_REQUEST_ID_HEADERS = ("x-request-id", "x-amz-request-id", "x-baseten-request-id")
_NOT_OFFERED = (501, 505)  # a server's way to say that the request is wrong as it stands

_HINTS: dict[type[ApiError], str] = {
    Unauthorized: "Check the key of this remote in ~/.trussrc or BASETEN_API_KEY.",
    Forbidden: "Ask an admin of the workspace, or use another key.",
}


def read(request: Request[T], response: httpx.Response) -> T:
    """The result of a good answer.

    Raises:
        ApiError: the class that fits the status; `UnexpectedAnswer` where the body is not what the API promises.
    """
    if not response.is_success:
        raise _error(request, response)
    if request.to == "graphql":
        _raise_graphql_errors(request, response)
    try:
        return request.read(response.content)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        kind = response.headers.get("content-type", "no content type")
        raise UnexpectedAnswer(
            f"{request.about}: the answer to {_call(request)} is not what the API promises ({kind}): {_cause(error)}.",
            hint="Is the remote's address right, and is there a proxy in between?",
            status=response.status_code,
            request_id=_request_id(response),
        ) from None


def silence(request: Request[Any], error: httpx.TransportError, host: str) -> TrussTrainError:
    """The error for a call that got no answer."""
    cause = str(error) or type(error).__name__
    if request.repeatable or isinstance(error, _NOT_SENT):
        return Unreachable(
            f"{request.about}: no answer from {host}: {cause}.",
            hint="Check the network and the remote's address; calling again is safe.",
        )
    return AnswerLost(
        f"{request.about}: {_call(request)} was sent to {host}, but its answer was lost: {cause}.",
        hint="It may have been carried out and may cost money: look before you call again.",
    )


def _error(request: Request[Any], response: httpx.Response) -> ApiError:
    body = _error_body(response)
    said = " ".join((body.message or body.error or response.reason_phrase or "no message").split())
    kind = _kind(response.status_code)
    extra: dict[str, Any] = {"retry_after": _retry_after(body, response)} if kind is RateLimited else {}
    return kind(
        f"{request.about}: {said.rstrip('.')} (HTTP {response.status_code} to {_call(request)}).",
        hint=_HINTS.get(kind),
        status=response.status_code,
        code=body.code,
        request_id=_request_id(response),
        **extra,
    )


def _kind(status: int) -> type[ApiError]:
    known: dict[int, type[ApiError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 429: RateLimited}
    if status in known:
        return known[status]
    if 400 <= status < 500 or status in _NOT_OFFERED:
        return Rejected
    return ServerError if status >= 500 else UnexpectedAnswer


def _error_body(response: httpx.Response) -> ErrorBody:
    try:
        return ErrorBody.model_validate_json(response.content)
    except ValidationError:
        return ErrorBody()


def _retry_after(body: ErrorBody, response: httpx.Response) -> float | None:
    if body.retry_after is not None:
        return body.retry_after
    try:
        return float(response.headers.get("retry-after", ""))
    except ValueError:
        return None


def _raise_graphql_errors(request: Request[Any], response: httpx.Response) -> None:
    """GraphQL answers 200 and lists errors, each with a message and perhaps `extensions.code` (seen on the wire)."""
    try:
        errors = json.loads(response.content).get("errors")
        first = errors[0] if errors else None
    except (ValueError, AttributeError):
        return
    if first:
        said = " ".join(str(first.get("message", "no message")).split())
        code = (first.get("extensions") or {}).get("code")
        raise Rejected(
            f"{request.about}: {said.rstrip('.')} (GraphQL).",
            status=response.status_code,
            code=code,
            request_id=_request_id(response),
        )


def _request_id(response: httpx.Response) -> str | None:
    return next((response.headers[name] for name in _REQUEST_ID_HEADERS if name in response.headers), None)


def _call(request: Request[Any]) -> str:
    # The query of a presigned address is as good as a key.
    return f"{request.method} {request.path.split('?')[0]}"


def _cause(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"
    return f"{type(error).__name__}"
