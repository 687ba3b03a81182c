"""The documentation's Python runs, and the files it links to are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCKS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    if "docs/airflow" not in str(page) and "docs/prefect" not in str(page)  # these need their engines
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A platform that is the remote `local` of a .trussrc."""
    home = tmp_path_factory.mktemp("home")
    with LocalPlatform.started(home / "platform") as platform:
        key = platform.remote.key.get_secret_value()
        write_remote("local", url=platform.remote.web_url, api_key=key, path=home / "trussrc")
        yield home / "trussrc"


@pytest.mark.slow
@pytest.mark.parametrize("code", BLOCKS)
def test_the_documentations_code_runs(code: str, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_TRUSSRC_PATH", str(local))
    monkeypatch.chdir(ROOT)
    exec(compile(code, "documentation", "exec"), {"__name__": "documentation"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
