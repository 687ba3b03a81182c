"""dags/prefect/new_dataset.py: one fine-tune per version, whatever happens to the watcher and to the data."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from looking import events_of, eventually, jobs_of_flow_run
from pipelines import pipeline
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.variables import Variable
from project import CONFIG

from prefect_truss_train import BasetenCredentials, watch_dataset
from truss_train_core import Client, datasets, deployments
from truss_train_core.testing import LocalPlatform


@pytest.fixture
def data(platform: LocalPlatform, tmp_path: Path) -> Path:
    """A dataset, and the block by the name that the pipeline uses."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)
    (tmp_path / "part-1.jsonl").write_text("one\n")
    return tmp_path


def test_a_version_is_trained_on_and_the_deployment_says_which(
    data: Path, client: Client, platform: LocalPlatform
) -> None:
    version = datasets.look(str(data)).version
    state = fine_tune(data, version)
    assert state.is_completed()
    (job,) = jobs_of_flow_run(client, state.state_details.flow_run_id)
    assert variables_of(platform, job.id)["DATASET_VERSION"] == version
    assets = eventually(lambda: assets_of(state.state_details.flow_run_id))
    (model,) = [facts for name, facts in assets.items() if name.startswith("baseten://models/")]
    assert model["dataset_version"] == version
    deployment = client.run(deployments.get(model["model_id"], model["deployment_id"]))
    assert client.run(deployments.labels(deployment)) == {"dataset": str(data), "dataset_version": version}


def test_a_version_that_another_has_replaced_is_passed_over(data: Path, client: Client) -> None:
    version = datasets.look(str(data)).version
    (data / "part-2.jsonl").write_text("two\n")
    state = fine_tune(data, version)
    assert (state.name, state.is_completed()) == ("Skipped", True)
    assert jobs_of_flow_run(client, state.state_details.flow_run_id) == []


def test_a_version_has_one_run_though_the_watcher_dies_before_it_notes_it(data: Path) -> None:
    deployment_id = deployed("killed")
    first = look("killed", data)
    Variable.unset("truss_train_dataset_killed")
    assert look("killed", data) == look("killed", data) == first
    assert versions(deployment_id) == [first]


def test_versions_in_quick_succession_have_a_run_each(data: Path) -> None:
    deployment_id = deployed("quick")
    first = look("quick", data)
    (data / "part-2.jsonl").write_text("two\n")
    second = look("quick", data)
    assert versions(deployment_id) == [first, second]


def test_files_that_are_being_written_are_no_version_yet(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment_id, look_really = deployed("written"), datasets.look

    def look_while_it_is_written(source: str) -> datasets.DatasetVersion:
        with (data / "part-1.jsonl").open("a") as file:
            file.write("more\n")
        return look_really(source)

    monkeypatch.setattr(datasets, "look", look_while_it_is_written)
    look("written", data)
    assert versions(deployment_id) == []
    monkeypatch.setattr(datasets, "look", look_really)
    assert versions(deployment_id) == [] != [look("written", data)] == versions(deployment_id)


@flow
def triggered(source: str, version: str) -> str:
    return version


def look(name: str, data: Path) -> str:
    """What the served watcher does once per interval."""
    return asyncio.run(watch_dataset(name, str(data), deployment=f"triggered/{name}", settle=0.1))


def deployed(name: str) -> UUID:
    """A deployment that the watcher makes runs of; nobody carries them out."""
    source = triggered.from_source(Path(__file__).parent, entrypoint=f"{Path(__file__).name}:triggered")
    return source.to_deployment(name).apply()


def versions(deployment_id: UUID) -> list[str]:
    """Of which versions the deployment has runs, the earliest first."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(deployment_id={"any_": [deployment_id]}))
    return [run.parameters["version"] for run in sorted(runs, key=lambda run: run.created)]


def fine_tune(data: Path, version: str) -> State[Any]:
    """What the served flow does of which the watcher makes runs."""
    state: State[Any] = pipeline("new_dataset").fine_tune(str(data), version, CONFIG, return_state=True)
    return state


def variables_of(platform: LocalPlatform, job_id: str) -> dict[str, str]:
    """The environment variables that a job was started with."""
    (spec,) = [path for path in platform.data_dir.rglob("spec.json") if job_id in str(path)]
    variables: dict[str, str] = json.loads(spec.read_text())["environment"]
    return variables


def assets_of(flow_run_id: UUID | None) -> dict[str, Any]:
    """What is recorded of the assets that the flow within a flow run made, once there are both."""
    with get_client(sync_client=True) as client:
        inside = FlowRunFilter(parent_flow_run_id={"any_": [flow_run_id]})
        (inner,) = client.read_flow_runs(flow_run_filter=inside)
    events = events_of(inner.id, "prefect.asset.materialization.succeeded")
    return {event["resource"]["prefect.resource.id"]: event["payload"] for event in events} if len(events) > 1 else {}
