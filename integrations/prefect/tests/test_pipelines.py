"""The pipelines that people copy, and the documentation's code, as they stand there."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from project import CONFIG

from prefect_truss_train import BasetenCredentials, train_and_deploy
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).parents[3]
CODE = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in sorted((ROOT / "docs" / "prefect").glob("*.md"))
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.fixture(autouse=True)
def baseten(platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block by the name that they use, and a training where they expect it."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)
    shutil.copytree(Path(CONFIG).parent, tmp_path / "training")
    monkeypatch.chdir(tmp_path)


def test_the_nightly_flow_takes_its_parameters() -> None:
    assert train_and_deploy.validate_parameters(_pipeline("retrain").PARAMETERS)


def test_a_new_dataset_is_trained_on() -> None:
    assert _pipeline("new_dataset").train_on("v2", CONFIG) == "checkpoint-2"


def test_a_sweep_deploys_the_best_of_all() -> None:
    assert _pipeline("sweep").sweep((0.1, 0.2), CONFIG)


@pytest.mark.slow
@pytest.mark.parametrize("code", CODE)
def test_the_documentations_code_runs(code: str) -> None:
    exec(compile(code, "documentation", "exec", dont_inherit=True), {"__name__": "documentation"})


def _pipeline(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "dags" / "prefect" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
