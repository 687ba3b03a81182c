"""The pipelines that people copy, as they stand there, and the pages of the tasks."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest
from prefect.tasks import Task
from project import CONFIG

import prefect_truss_train
from prefect_truss_train import BasetenCredentials
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "prefect"


@pytest.fixture(autouse=True)
def baseten(platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block by the name that they use, and a training where they expect it."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)
    shutil.copytree(Path(CONFIG).parent, tmp_path / "training")
    monkeypatch.chdir(tmp_path)


def test_every_task_has_a_page_with_its_arguments_and_their_defaults() -> None:
    tasks = {name: getattr(prefect_truss_train, name) for name in prefect_truss_train.__all__}
    tasks = {name: task for name, task in tasks.items() if isinstance(task, Task)}
    assert len(tasks) == 13
    for name, task in tasks.items():
        rows = re.findall(r"^\| `(\w+)` \| `?(.+?)`? \|", (PAGES / "tasks" / f"{name}.md").read_text(), re.MULTILINE)
        assert rows == [(each.name, _default(each)) for each in inspect.signature(task.fn).parameters.values()]


def _default(parameter: inspect.Parameter) -> str:
    """As a page writes it."""
    required = parameter.default is inspect.Parameter.empty
    return "required" if required else repr(parameter.default).replace("'", '"')
