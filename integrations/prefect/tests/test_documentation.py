"""What the pages show of Prefect is true: every block that needs it runs, every command is one.

A page falls under this by being there; docs/pages.py finds its blocks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import CONFIG

from prefect_truss_train import BasetenCredentials
from truss_train_core.testing import LocalPlatform

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "docs"))
import pages

BLOCKS = [block for page in pages.pages() for block in pages.blocks_of(page) if not block.not_run]
CODE = [
    block
    for block in BLOCKS
    if block.language == "python"
    and block.engine == "prefect"
    and not block.excerpt_of
    and block.page.parent.name != "reference"
]
COMMANDS = [
    pytest.param(command[1:], id=f"{block.name} {' '.join(command)}")
    for block in BLOCKS
    if block.language == "sh"
    for command in block.commands
    if command[0] == "prefect"
]


@pytest.fixture
def baseten(platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block by the name that they use, and a training where they expect it."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)
    shutil.copytree(Path(CONFIG).parent, tmp_path / "training")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("baseten")
@pytest.mark.parametrize("block", CODE, ids=lambda block: block.name)
def test_the_documentations_code_runs(block: pages.Block) -> None:
    exec(compile(block.code, block.name, "exec", dont_inherit=True), {"__name__": "documentation"})


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS)
def test_the_documentations_commands_are_prefects(words: list[str]) -> None:
    """As far as group and command go: what they are given is not looked at."""
    command = [Path(sys.executable).with_name("prefect"), *words[:2], "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
