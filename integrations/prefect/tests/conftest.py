"""A real Prefect server and a real local platform, once for all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import BLOCK

from prefect_truss_train.testing import PrefectServer, free_port

# Prefect reads its settings when it is imported, so the server's address is decided before.
SERVER = PrefectServer(f"http://127.0.0.1:{free_port()}", Path(tempfile.mkdtemp(prefix="prefect-truss-train-")))
os.environ.update(SERVER.environment)

from truss_train_core import Client  # noqa: E402
from truss_train_core.testing import LocalPlatform  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[PrefectServer]:
    with PrefectServer.started(SERVER.home, port=SERVER.port) as server:
        yield server


@pytest.fixture(scope="session")
def platform(server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    from prefect_truss_train import BasetenCredentials

    with LocalPlatform.started(tmp_path_factory.mktemp("platform"), stop_grace=1.0) as platform:
        remote = platform.remote
        BasetenCredentials(api_key=remote.key, url=remote.web_url).save(BLOCK, overwrite=True)
        yield platform


@pytest.fixture
def client(platform: LocalPlatform) -> Iterator[Client]:
    """A client of the test's own, to look at what there really is."""
    with Client(platform.remote) as client:
        yield client
