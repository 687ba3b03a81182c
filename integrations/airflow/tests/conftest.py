"""A real local platform, and an Airflow of the test's own: its home, a database of SQLite, no server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
sys.path.insert(0, str(Path(__file__).parent / "support"))  # what test files share
os.environ.update(  # before anything imports airflow
    AIRFLOW_HOME=str(HOME), AIRFLOW__CORE__LOAD_EXAMPLES="False", AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING"
)

from truss_train_core import Client  # noqa: E402
from truss_train_core.testing import LocalPlatform  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _airflow() -> Iterator[None]:
    (HOME / "dags").mkdir()
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
    yield
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    with LocalPlatform.started(tmp_path_factory.mktemp("platform"), capacity={"CPU": 64}, stop_grace=2.0) as running:
        yield running


@pytest.fixture(autouse=True)
def _connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default connection leads to the platform, where a test has one."""
    if "platform" in request.fixturenames:
        remote = request.getfixturevalue("platform").remote
        connection = {"conn_type": "baseten", "host": remote.api_url, "password": remote.key.get_secret_value()}
        monkeypatch.setenv("AIRFLOW_CONN_BASETEN_DEFAULT", json.dumps(connection))


@pytest.fixture
def client(platform: LocalPlatform) -> Iterator[Client]:
    with Client(platform.remote) as client:
        yield client
