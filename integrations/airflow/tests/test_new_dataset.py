"""dags/airflow/new_dataset.py on a real Airflow: one fine-tune per version, whatever happens to watcher and data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standalone import Run, Standalone, eventually

from airflow_provider_truss_train.assets import version_to_train
from truss_train_core import Client, deployments
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.jobs import find_project
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
    more = {"DATASET_SOURCE": data.as_uri(), "DATASET_INTERVAL": "2"}
    more["AIRFLOW__OPENLINEAGE__TRANSPORT"] = json.dumps(transport)
    with Standalone.started(home, platform.remote, DAGS, **more) as running:
        yield running


def test_each_version_is_trained_on_once_and_labels_what_is_deployed(
    airflow: Standalone, client: Client, platform: LocalPlatform, data: Path
) -> None:
    airflow.unpaused("new_dataset")
    (data / "1.csv").write_text("1,2,3")
    first = version_that_is_there(data)
    begun = ended_run(airflow, 1)
    assert trained_on(client, platform) == {first: 1}
    assert version_in_lineage(airflow, begun) == first
    assert labels_of_deployment(client, begun) == {"dataset": data.as_uri(), "dataset_version": first}

    airflow.restart("triggerer")
    tell_again(airflow, data, first)  # as a triggerer does that was killed before it had noted it
    again = ended_run(airflow, 2)
    assert again.returned()["attempts"] == begun.returned()["attempts"]
    assert deployment_of(again) == deployment_of(begun)
    assert trained_on(client, platform) == {first: 1}

    for name in ("2.csv", "3.csv"):
        (data / name).write_text("4,5,6")
        tell_again(airflow, data, version_that_is_there(data))
    last = version_that_is_there(data)
    eventually("a fine-tune of the last", lambda: last in trained_on(client, platform))
    assert {run.ends() for run in airflow.runs("new_dataset")} == {"success"}
    assert set(trained_on(client, platform).values()) == {1}


def ended_run(airflow: Standalone, count: int) -> Run:
    """The newest run, once there are so many and it has ended well."""
    eventually(f"run {count}", lambda: len(airflow.runs("new_dataset")) >= count)
    run = airflow.runs("new_dataset")[-1]
    assert run.ends() == "success"
    return run


def version_that_is_there(data: Path) -> str:
    version: str = version_to_train([], data.as_uri())["version"]
    return version


def tell_again(airflow: Standalone, data: Path, version: str) -> None:
    """An event as the watcher's."""
    (asset,) = airflow.api.get("/api/v2/assets").raise_for_status().json()["assets"]
    extra = {"from_trigger": True, "payload": {"source": data.as_uri(), "version": version}}
    airflow.api.post("/api/v2/assets/events", json={"asset_id": asset["id"], "extra": extra}).raise_for_status()


def trained_on(client: Client, platform: LocalPlatform) -> Counter[str]:
    """How many jobs there are of each version."""
    listed = client.send(endpoints.list_jobs(client.run(find_project("digits")).id)).training_jobs
    specs = [path for path in platform.data_dir.rglob("spec.json") for job in listed if job.id in str(path)]
    environments = [json.loads(spec.read_text())["environment"] for spec in specs]
    return Counter(each["DATASET_VERSION"] for each in environments if "DATASET_VERSION" in each)


def deployment_of(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = run.get("/taskInstances/deploy/xcomEntries/return_value")["value"]
    return facts


def labels_of_deployment(client: Client, run: Run) -> dict[str, str]:
    deployed = deployment_of(run)
    return client.run(deployments.labels(client.run(deployments.get(deployed["model_id"], deployed["deployment_id"]))))


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
