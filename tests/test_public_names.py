"""The public surface: what is listed is there, and importing it loads no more than it must."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import truss_train_core


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after `code`."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_every_public_name_is_there() -> None:
    for name in truss_train_core.__all__:
        assert getattr(truss_train_core, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'pusch'"):
        truss_train_core.pusch  # noqa: B018


def test_push_is_the_function_even_after_its_module_was_imported() -> None:
    code = "import truss_train_core.pushing, truss_train_core; assert callable(truss_train_core.push)"
    loaded_by(code)


def test_the_package_alone_loads_nothing_of_weight() -> None:
    assert not loaded_by("import truss_train_core") & {"pydantic", "httpx", "tenacity", "obstore", "rich"}


def test_a_project_is_built_without_http() -> None:
    code = "from truss_train_core.definitions import *\nTrainingProject(name='p', job={'image': {'base_image': 'i'}})"
    loaded = loaded_by(code)
    assert "pydantic" in loaded
    assert not loaded & {"httpx", "tenacity", "obstore", "typer", "rich", "sqlalchemy"}


def test_a_client_and_the_flows_load_no_platform_and_no_command_line() -> None:
    code = "from truss_train_core import AsyncClient, Client, RunPlan, jobs, runs, push"
    heavy = {"typer", "rich", "sqlalchemy", "starlette", "uvicorn", "psutil", "obstore"}
    assert not (loaded_by(code) - loaded_by("import httpx")) & heavy


INTEGRATIONS = Path(__file__).parents[1] / "integrations"
PUBLIC_ROOMS = {name for name in truss_train_core.__all__ if name.islower()} | {"testing"}


def imported_from_core(file: Path) -> Iterator[tuple[str, str]]:
    """Every module of the core that a file imports from, with the name it takes; "" where it takes the module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("truss_train_core"):
            yield from ((node.module or "", alias.name) for alias in node.names)
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("truss_train_core"))


@pytest.mark.parametrize("engine", ["airflow", "prefect"])
def test_an_integration_imports_public_names_only(engine: str) -> None:
    files = sorted((INTEGRATIONS / engine).glob("*_train/**/*.py"))
    imports = {(file.name, *found) for file in files for found in imported_from_core(file)}
    assert imports
    private = [each for each in sorted(imports) if not is_public(*each[1:])]
    assert private == []


def is_public(module: str, name: str) -> bool:
    room = module.removeprefix("truss_train_core").removeprefix(".")
    if room and room not in PUBLIC_ROOMS:
        return False
    names = getattr(import_module(module), "__all__", None)  # `errors` and `events` are public as a whole
    return not name.startswith("_") and (names is None or name in names)
