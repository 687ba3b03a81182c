"""Writes api.md: every training and model endpoint of the API, our function for it, and what a local platform does.

    python docs/generate_api_page.py

The endpoints are those of the OpenAPI; the rest is read from `endpoints.py` and from the routes of the local platform.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from truss_train_core.api import endpoints, models
from truss_train_core.api.request import Request
from truss_train_core.local.server import graphql
from truss_train_core.local.server.app import ROUTES

HERE = Path(__file__).parent
PAGE = HERE / "api.md"
OPERATIONS = HERE.parent / "tests" / "api" / "openapi_paths.txt"

_SAMPLES: dict[Any, Any] = {
    int: 1,
    Mapping[str, Any]: {},
    models.UpsertSecret: models.UpsertSecret(name="name", value=""),
}
_AREAS = {
    "Training": r"/v1/(teams/\{team_id\}/)?(training|blobs)",
    "Models, deployments and environments": r"/v1/(teams/\{team_id\}/)?(llm_)?models",
    "Account": r"/v1/",
}
_HEAD = """\
# The API, endpoint by endpoint

<!-- Written by docs/generate_api_page.py; change the code, and run it again. -->

Every endpoint that the OpenAPI of the management API has for training and for models. *Client* is the function of
`truss_train_core.api.endpoints` that makes the request; send it with `Client(…).send(…)`. *Local platform* is what
`truss-train serve` does with it; 501 comes with a message that says that it is not served. What has neither has no
meaning for training and deploying checkpoints, or is an older form of its neighbour.

“production” and “development” stand in the place of a deployment's id. Checkpoints are not deployed for development, so
a local platform has no such deployments.
"""


LOCAL = "/v1/local/"
"""The beginning of the paths that only the local platform has."""

_STRICTER = """\
## What the local platform refuses, though the OpenAPI lets it pass

A field that the OpenAPI does not know is left aside, at any depth of a body. These are answered 400, with a message
that says what to change:

- of a job, because it could mean nothing or only fail:
  - what `truss_train_core.definitions` refuses: empty names, counts below one, sources of weights of an unknown kind,
    `docker_auth` whose settings are not those of its `auth_method`; and numbers beyond 2³¹−1;
  - a GPU type that is not an `Accelerator`, or more of them than an instance type has;
  - an environment variable from a secret that there is not, and artifacts that were not uploaded;
  - a checkpoint to load that there is not, that is still being copied, or of Loops;
- `interactive_session` and `ssh/sign`: a job's processes run on this machine, where they can be looked at directly;
- of the queue: a change of a job that is not pending, as the API does (documentation), and a capacity for a GPU type
  that is not an `Accelerator`;
- of what is read: logs of more than seven days or 1,000 lines at once, as the API does (documentation), and an
  `order_by` other than `created_at`, the only one that the API has;
- of deployments: several checkpoints that are not LoRA, and those of Loops; promoting one that is not active, deleting
  one that answers in an environment, and deleting `production`.

A body of more than 16 MiB is answered 413, and filters of a deployment's logs 501.
"""


def operations() -> list[tuple[str, str]]:
    """Method and path of each endpoint of the OpenAPI."""
    lines = OPERATIONS.read_text().splitlines()
    return [(method, path) for method, path in (line.split() for line in lines if not line.startswith("#"))]


def requests() -> Iterator[tuple[str, Request[Any]]]:
    """What each function of `endpoints` makes, with the names of its arguments in the place of ids."""
    for name, function in inspect.getmembers(endpoints, inspect.isfunction):
        if function.__module__ == endpoints.__name__ and not name.startswith("_"):
            parameters, hints = inspect.signature(function).parameters.values(), get_type_hints(function)
            needed = {
                each.name: each.name if hints[each.name] is str else _SAMPLES[hints[each.name]]
                for each in parameters
                if each.default is each.empty
            }
            yield name, function(**needed)
            if "team_id" in hints and "team_id" not in needed:
                yield name, function(**needed, team_id="team_id")


def operation_of(request: Request[Any]) -> tuple[str, str] | None:
    """The endpoint that a request is for; None if the OpenAPI has no such."""
    fitting = [
        (method, path)
        for method, path in operations()
        if method == request.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path)
    ]
    return min(fitting, key=lambda operation: operation[1].count("{"), default=None)


def page() -> str:
    """The page as the code has it now."""
    functions: dict[tuple[str, str], list[str]] = {}
    for name, request in requests():
        if request.to == "api" and (operation := operation_of(request)):
            functions.setdefault(operation, []).append(f"`{name}`")
    rows: dict[str, list[str]] = {area: [] for area in _AREAS}
    for method, path in operations():
        area = next(area for area, pattern in _AREAS.items() if re.match(pattern, path))
        by_id = re.sub(r"deployments/(production|development)", "deployments/{deployment_id}", path)
        client = ", ".join(functions.get((method, by_id), [])) or "–"
        rows[area].append(f"| `{method} {path}` | {client} | {_local(method, path)} |")
    table = ["| endpoint | client | local platform |", "| --- | --- | --- |"]
    sections = [_HEAD, *("\n".join([f"## {area}\n", *table, *lines, ""]) for area, lines in rows.items())]
    return "\n".join([*sections, _graphql(), _local_alone(), _STRICTER])


def _local(method: str, path: str) -> str:
    for route in ROUTES:
        if route.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path):
            said = " ".join((inspect.getdoc(route.handler) or "").split("\n\n")[0].split())
            return "404" if "/development" in path else f"served. {said}".rstrip()
    return "501"


def _local_alone() -> str:
    lines = [
        f"| `{made.method} {made.path.replace('job_id', '{job_id}')}` | `{name}` | {getattr(endpoints, name).__doc__} |"
        for name, made in requests()
        if made.path.startswith(LOCAL)
    ]
    return "\n".join(
        [
            "## What the local platform has alone\n",
            "| endpoint | client | what it does |",
            "| --- | --- | --- |",
            *lines,
            "",
        ]
    )


def _graphql() -> str:
    ours = {
        field.name: name
        for name, request in requests()
        if request.to == "graphql" and request.body
        for field in graphql.parse(request.body["query"])
    }
    lines = [
        f"| `{field}` | {f'`{ours[field]}`' if field in ours else '–'} | served |" for field in sorted(graphql.SERVED)
    ]
    return "\n".join(
        [
            "## GraphQL\n",
            "`POST /graphql/` is older than the management API; checkpoints are deployed by it alone. These fields are",
            "what the clients of the training API ask for.\n",
            "| field | client | local platform |",
            "| --- | --- | --- |",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
