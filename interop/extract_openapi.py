"""Make openapi.json: of Baseten's OpenAPI, the operations that the local platform serves, and their schemas.

.venv-interop/bin/python interop/extract_openapi.py PATH_OF_THE_WHOLE_FILE
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truss_train_core.local.server.app import ROUTES

LEFT_OUT = {"description", "summary", "title", "x-codeSamples", "deprecated", "x-stability"}
"""Keywords for readers. Examples are kept: calls are generated from them too."""


def extract(whole: dict[str, Any]) -> dict[str, Any]:
    paths = {path: served(path, operations) for path, operations in whole["paths"].items()}
    paths = {path: lean(operations) for path, operations in paths.items() if operations.keys() - {"parameters"}}
    components = {kind: {name: lean(one) for name, one in named.items()} for kind, named in whole["components"].items()}
    needed = reached(paths, components)
    kept = {
        kind: {name: one for name, one in named.items() if f"#/components/{kind}/{name}" in needed}
        for kind, named in components.items()
    }
    kept["securitySchemes"] = components["securitySchemes"]
    return {
        "openapi": whole["openapi"],
        "info": {"title": whole["info"]["title"], "version": whole["info"]["version"]},
        "security": whole["security"],
        "paths": paths,
        "components": kept,
    }


def served(path: str, operations: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in operations.items() if key == "parameters" or is_served(key, path)}


def is_served(method: str, path: str) -> bool:
    """Whether an operation of the OpenAPI is answered; it may name the variables of its path otherwise."""
    return any(
        route.method == method.upper() and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path)
        for route in ROUTES
    )


def lean(value: Any, *, names: bool = False) -> Any:
    """Without what is for readers only; the keys of an object of `names`, such as properties, are left alone."""
    if isinstance(value, list):
        return [lean(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: lean(item, names=key in ("properties", "responses") and not names)
        for key, item in value.items()
        if names or key not in LEFT_OUT
    }


def reached(value: Any, components: dict[str, Any]) -> set[str]:
    """The references in a value, and in what they lead to."""
    found: set[str] = set()
    ahead = set(references(value))
    while ahead:
        found |= ahead
        named = [reference.split("/")[2:] for reference in ahead]
        ahead = {one for kind, name in named for one in references(components[kind][name])} - found
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


if __name__ == "__main__":
    extracted = extract(json.loads(Path(sys.argv[1]).read_text()))
    Path(__file__).with_name("openapi.json").write_text(json.dumps(extracted, indent=1, sort_keys=True) + "\n")
