"""What tests of runs in a world without I/O share."""

from __future__ import annotations

import pytest
from world import World

from truss_train_core import package, waiting


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which nothing is uploaded and pauses are as long as they should be."""
    monkeypatch.setattr(waiting, "jittered", lambda seconds: seconds)
    monkeypatch.setattr(package, "upload", lambda packed, target, progress: None)
    monkeypatch.setattr(package, "user_env", lambda source_dir: {})
    return World()
