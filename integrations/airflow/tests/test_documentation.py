"""The DAGs of the documentation can be parsed as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "airflow" / "assets.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", BLOCKS)
def test_the_documentations_dags_can_be_parsed(code: str) -> None:
    exec(compile(code, PAGE.name, "exec"), {"__name__": "documentation"})
