"""The pages of docs/airflow/operators: their pipelines run as they stand, beside a config.py of two seconds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from dag_runs import QUICK, run

from airflow_provider_truss_train import operators
from truss_train_core import Client

PAGES = sorted((Path(__file__).resolve().parents[3] / "docs" / "airflow" / "operators").glob("*.md"))


def pipeline(page: Path, folder: Path) -> DAG:
    """The DAG of a page, in a folder with a config.py."""
    shutil.copytree(QUICK.parent, folder, dirs_exist_ok=True)
    (folder / "pipeline.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)))
    bag = DagBag(folder / "pipeline.py")
    assert not bag.import_errors
    (dag,) = bag.dags.values()
    return dag


def test_every_operator_has_a_page() -> None:
    assert {page.read_text().splitlines()[0].partition(": ")[2] for page in PAGES} == set(operators.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_pipeline_of_a_page_runs(page: Path, tmp_path: Path, client: Client) -> None:
    run(pipeline(page, tmp_path), run_conf={"retrain": False})
