"""What the pages show of Prefect is true: every block that needs it runs, and so does every command.

A page falls under this by being there; docs/pages.py finds its blocks.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from project import CONFIG

from prefect_truss_train import BasetenCredentials
from prefect_truss_train.testing import PrefectServer
from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "docs"))
import pages
import shell

BLOCKS = [block for page in pages.pages() for block in pages.blocks_of(page)]
CODE = [
    block
    for block in BLOCKS
    if block.language == "python"
    and block.engine == "prefect"
    and not block.excerpt_of
    and block.page.parent.name != "reference"
]
SHELL = r"""
airflow() { :; }
truss-train() { :; }
prefect() { [ "$*" = "server start" ] || command prefect "$@"; }
python() {
    case "$*" in
        *new_dataset.py | *retrain.py) once_it_says_something command python "$@" ;;
        *) command python "$@" ;;
    esac
}
"""
"""A server runs; two files serve what is in them for ever."""
TYPED = sorted({block.page for block in BLOCKS if block.language == "sh" and "prefect" in block.code})


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


@pytest.fixture
def nothing_stays_scheduled() -> Iterator[None]:
    """Whoever serves the same flow later runs nothing of this."""
    yield
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state={"type": {"any_": ["SCHEDULED"]}})):
            client.delete_flow_run(run.id)


@pytest.mark.slow
@pytest.mark.usefixtures("baseten", "nothing_stays_scheduled")
@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.stem)
def test_the_documentations_commands_run(
    page: Path, server: PrefectServer, platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As they are typed; but the addresses and the data are those of the test."""
    home = tmp_path_factory.mktemp("home")
    key = platform.remote.key.get_secret_value()
    write_remote("local", url=platform.remote.web_url, api_key=key, path=home / "trussrc")
    here = {"http://127.0.0.1:4200": server.url, "/srv/digits": str(home)}
    blocks = []
    for block in BLOCKS:
        if block.page == page and block.language == "sh":
            code = block.code
            for there, instead in here.items():
                code = code.replace(there, instead)
            blocks.append(replace(block, code=code))
    shell.typed(blocks, tmp_path_factory.mktemp("clone"), SHELL, {"USER_TRUSSRC_PATH": str(home / "trussrc")})
