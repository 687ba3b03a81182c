from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from truss_train_core.package import UploadTarget

Tree = Callable[[dict[str, "str | bytes"]], Path]


def _load_standin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("s3_standin", Path(__file__).with_name("s3_standin.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


s3_standin = _load_standin()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make files below a directory `work`: `tree({"run.sh": "echo"})` returns that directory."""

    def make(files: dict[str, str | bytes], under: str = "work") -> Path:
        root = tmp_path / under
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return make


@pytest.fixture
def s3() -> Iterator[object]:
    server = s3_standin.S3StandIn().start()
    yield server
    server.stop()


@pytest.fixture
def target(s3) -> UploadTarget:
    return UploadTarget(
        bucket="artifacts",
        key="training/job.tgz",
        access_key_id="AKIDEXAMPLE",
        secret_access_key="the-secret",
        session_token="the-token",
        endpoint_url=s3.url,
    )
