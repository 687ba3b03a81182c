"""dags/airflow/on_new_data.py on a real Airflow: what arrives is trained on once, and OpenLineage hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dag_runs import jobs_named
from standalone import Run, Standalone, eventually

from truss_train_core import Client, jobs
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow
DAGS = Path(__file__).resolve().parents[3] / "dags" / "airflow"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits-data")


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, platform: LocalPlatform, data: Path) -> Iterator[Standalone]:
    home = tmp_path_factory.mktemp("standalone")
    transport = {"type": "file", "log_file_path": str(home / "lineage.jsonl"), "append": True}
    more = {"DIGITS_DATA": data.as_uri(), "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    with Standalone.started(home, platform.remote, DAGS, **more) as running:
        yield running


def test_each_version_that_arrives_is_trained_on_once(
    airflow: Standalone, client: Client, platform: LocalPlatform, data: Path
) -> None:
    airflow.unpaused("on_new_data")
    for count in (1, 2):
        (data / f"{count}.csv").write_text("1,2,3")
        run = eventually(f"run {count}", lambda count=count: one_more(airflow, count))  # type: ignore[misc]
        assert run.ends() == "success"
        if count == 1:
            airflow.restart("triggerer")
    first, second = airflow.runs("on_new_data")
    trained = [environment_of_job(client, platform, run) for run in (first, second)]
    assert len({each["DATA_VERSION"] for each in trained}) == 2
    assert trained[0]["DATA_SOURCE"] == trained[1]["DATA_SOURCE"] == data.as_uri()
    assert [version_in_lineage(airflow, run) for run in (first, second)] == [each["DATA_VERSION"] for each in trained]
    assert [facts_of_event(run)["files"] for run in (first, second)] == [1, 2]


def one_more(airflow: Standalone, count: int) -> Run | None:
    """The newest run, once there are so many."""
    runs = airflow.runs("on_new_data")
    return runs[-1] if len(runs) >= count else None


def environment_of_job(client: Client, platform: LocalPlatform, run: Run) -> dict[str, str]:
    """The variables that the one job of a run was started with."""
    (job,) = jobs_named(client, jobs.run_key(run.dag_id, run.run_id, "train", -1), project="digits")
    (spec,) = [path for path in platform.data_dir.rglob("spec.json") if job.id in str(path)]
    environment: dict[str, str] = json.loads(spec.read_text())["environment"]
    return environment


def facts_of_event(run: Run) -> dict[str, Any]:
    """The facts of the one asset event that set a run off."""
    (event,) = run.get("/upstreamAssetEvents")["asset_events"]
    facts: dict[str, Any] = event["extra"]["payload"]
    return facts


def version_in_lineage(airflow: Standalone, run: Run) -> str:
    """The version of the dataset that OpenLineage was told of when the training of a run was complete."""
    job_id = run.returned()["attempts"][0]["job_id"]
    events = [json.loads(line) for line in (airflow.home / "lineage.jsonl").read_text().splitlines()]
    (event,) = [
        each
        for each in events
        if each["eventType"] == "COMPLETE" and [out["name"] for out in each["outputs"]] == [f"training/{job_id}"]
    ]
    (dataset,) = event["inputs"]
    version: str = dataset["facets"]["version"]["datasetVersion"]
    return version
