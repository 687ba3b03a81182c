"""The few GraphQL operations that clients of the training API send; anything else is a GraphQL error.

No library stands behind this. A query is read just far enough to know its top-level fields and what is selected of
them; an answer is what we know, seen through that selection, under the names that the query asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from truss_train_core.definitions import LocalServer
from truss_train_core.local.server.calls import Answer, Call
from truss_train_core.local.server.database import Team
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.problems import Problem, from_validation, invalid
from truss_train_core.local.server.templates import TemplateRequest, create_from_template

_CREATE = "create_model_version_from_inference_template"
_WORD = re.compile(
    r"""\s+ | , | \#[^\n]*  # mean nothing
    | (?P<text>"(?:\\.|[^"\\])*") | (?P<name>[_A-Za-z$@][_A-Za-z0-9]*) | (?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Field:
    """A selected field: its name, the name it is answered under, and what is selected of it."""

    name: str
    alias: str
    fields: tuple[Field, ...] = ()


def answer(call: Call) -> Answer:
    """Answer a GraphQL request: 200 with `data`, or 200 with `errors` (as seen on the wire)."""
    body = call.json()
    try:
        fields = parse(str(body.get("query", "")))
        variables = body.get("variables") or {}
        extensions = body.get("extensions") or {}
        return {"data": {field.alias: _resolve(call, field, variables, extensions) for field in fields}}
    except Problem as problem:
        error = {"message": problem.message, "extensions": {"code": problem.code or "NOT_SERVED"}}
        return {"data": None, "errors": [error]}


def parse(query: str) -> tuple[Field, ...]:
    """The fields of a query's one operation.

    Raises:
        Problem: 400: it is not a query of one operation.
    """
    words = _words(query)
    for word in words:  # up to the selection: a keyword, a name, declarations of variables
        if word == "{":
            return _selection(words)
        if word == "(":
            _skip_arguments(words)
    raise invalid("The query has no selection.")


def _words(query: str) -> Iterator[str]:
    for match in _WORD.finditer(query):
        if match.lastgroup:
            yield match[0]


def _selection(words: Iterator[str]) -> tuple[Field, ...]:
    fields: list[Field] = []
    alias = ""
    for word in words:
        if word == "}":
            return tuple(fields)
        if word == "{" and fields:
            fields[-1] = Field(fields[-1].name, fields[-1].alias, _selection(words))
        elif word == "(" and fields:
            _skip_arguments(words)
        elif word == ":" and fields:
            alias = fields.pop().name
        elif word.isidentifier():
            fields.append(Field(word, alias or word))
            alias = ""
        else:
            raise invalid(f"The query cannot be read at {word!r}.")
    raise invalid("The query ends in the middle of a selection.")


def _skip_arguments(words: Iterator[str]) -> None:
    depth = 1
    for word in words:
        depth += (word == "(") - (word == ")")
        if not depth:
            return
    raise invalid("The query ends in the middle of arguments.")


def _resolve(call: Call, field: Field, variables: Mapping[str, Any], extensions: Mapping[str, Any]) -> Any:
    if field.name == _CREATE:
        return _seen_through(field, _create(call, variables, extensions))
    read = _READS.get(field.name)
    if read is None:
        raise Problem(400, f"The local platform does not serve the GraphQL field {field.name!r}.")
    return _seen_through(field, read(call))


def _seen_through(field: Field, value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_seen_through(field, item) for item in value]
    if not field.fields or value is None:
        return value
    return {inner.alias: _seen_through(inner, value.get(inner.name)) for inner in field.fields}


def _teams(call: Call) -> Any:
    with call.platform.database.reading() as session:
        teams = session.scalars(select(Team).order_by(Team.created_at))
        return [{"id": team.id, "name": team.name, "default": team.is_default} for team in teams]


def _instances(_: Call) -> Any:
    return [
        {
            "id": kind.id,
            "name": kind.name,
            "display_name": kind.name,
            "millicpu_limit": kind.millicpu_limit,
            "memory_limit": kind.memory_limit_mib,
            "gpu_count": kind.gpu_count,
            "gpu_type": kind.gpu_type,
            "gpu_memory": kind.gpu_memory_limit_mib,
            "default": False,
            "node_count": 1,
            "price": 0.0,
            "limited_capacity": False,
        }
        for kind in catalogue().values()
    ]


def _create(call: Call, variables: Mapping[str, Any], extensions: Mapping[str, Any]) -> Any:
    try:
        request = TemplateRequest.model_validate(variables.get("request"))
        server = extensions.get("local_server")
        given = None if server is None else LocalServer.model_validate(server)
    except ValidationError as error:
        raise from_validation(error, "request") from None
    with call.platform.lifecycle, call.platform.database.writing() as session:
        return create_from_template(call.platform, session, request, given).model_dump(mode="json")


_READS: dict[str, Callable[[Call], Any]] = {"teams": _teams, "listed_instances": _instances}
SERVED = (*_READS, _CREATE)
"""The fields that are answered."""
