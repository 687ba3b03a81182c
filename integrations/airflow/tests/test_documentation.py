"""What the pages show of Airflow is true: every block that needs it can be parsed as a DAG file, every command runs.

A page falls under this by being there; docs/pages.py finds its blocks. Those of docs/airflow/operators run as well:
test_operator_pages.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from airflow.cli.cli_parser import get_parser
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from dag_runs import register

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "docs"))
import pages

BLOCKS = [block for page in pages.pages() for block in pages.blocks_of(page)]
DAG_FILES = [
    block for block in BLOCKS if block.language == "python" and block.engine == "airflow" and not block.excerpt_of
]
COMMANDS = [
    pytest.param(command[1:], id=f"{block.name} {' '.join(command)}")
    for block in BLOCKS
    if block.language == "sh"
    for command in block.commands
    if command[0] == "airflow"
]


@pytest.mark.parametrize("block", DAG_FILES, ids=lambda block: block.name)
def test_the_documentations_dag_files_can_be_parsed(block: pages.Block, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(block.code)
    assert not DagBag(tmp_path / "page.py", safe_mode=False).import_errors


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    """The pipelines, known to the database."""
    found = DagBag(pages.ROOT / "dags" / "airflow").dags
    for each in found.values():
        register(each)
    return found


@pytest.mark.parametrize("arguments", COMMANDS)
def test_the_documentations_commands_run(arguments: list[str], dags: dict[str, DAG]) -> None:
    """In this process, as the program carries them out."""
    parsed = get_parser().parse_args(arguments)
    if arguments != ["standalone"]:  # it never ends; test_standalone.py runs one
        parsed.func(parsed)
    if arguments[:2] == ["dags", "trigger"]:
        assert set(json.loads(parsed.conf or "{}")) <= set(dags[parsed.dag_id].params)
