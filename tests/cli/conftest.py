import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from truss_train_core.cli import output


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A home directory of its own, nothing of the user's environment, and consoles bound to this test's streams."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in list(os.environ):
        if name.startswith(("BASETEN_", "TRUSS_TRAIN_", "USER_TRUSSRC")) or name in (
            "COLUMNS",
            "NO_COLOR",
            "FORCE_COLOR",
        ):
            monkeypatch.delenv(name)
    output.stdout.cache_clear()
    output.stderr.cache_clear()
    shown = warnings.showwarning
    yield
    warnings.showwarning = shown
