from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served_platform import Served, served


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "data", capacity={"H100": 8, "CPU": 4}) as running:
        yield running
