"""Fixtures for pytest, for those who import them; `pytest` is not a dependency of this package.

In a conftest.py:

    from truss_train_core.testing.fixtures import local_platform, manual_clock  # noqa: F401
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from truss_train_core.testing.clock import ManualClock
from truss_train_core.testing.platform import LocalPlatform


@pytest.fixture(scope="session")
def local_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A local platform for all tests, which really runs their jobs. It ends with them, and so does what it started."""
    with LocalPlatform.started(tmp_path_factory.mktemp("truss-train")) as platform:
        yield platform


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock of the test's own, whose pauses take no time."""
    return ManualClock()
