"""What came of what: in the events of OpenLineage's own provider, and in those of a task's outlets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.models.asset import AssetEvent
from airflow.sdk import Asset, AssetAlias
from airflow.utils.session import create_session
from dag_runs import QUICK, Ended, dag, run
from sqlalchemy import select

from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    PromoteDeploymentOperator,
    TrainingJobOperator,
)
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow  # tasks with a real job and a real deployment


def pipeline() -> None:
    """Train on files, choose a checkpoint, deploy it, promote it; all but the first tell assets of it."""
    train = TrainingJobOperator(task_id="train", config=QUICK, inlets=[Asset("s3://bucket/reviews")])
    choose = ChooseCheckpointOperator(
        task_id="choose", run=train.output, metric="eval_loss", mode="min", outlets=[Asset("best-checkpoint")]
    )
    deploy = DeployCheckpointOperator(
        task_id="deploy", checkpoint=choose.output, config=QUICK, outlets=[Asset("served"), AssetAlias("models")]
    )
    promote = PromoteDeploymentOperator(task_id="promote", deployment=deploy.output, outlets=[Asset("production")])
    assert promote


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where OpenLineage's provider writes its events."""
    from airflow.providers.openlineage.plugins.listener import OpenLineageListener
    from airflow.sdk.listener import get_listener_manager

    file = tmp_path_factory.mktemp("lineage") / "events.jsonl"
    transport = json.dumps({"type": "file", "log_file_path": str(file), "append": True})
    plugins = get_listener_manager().pm
    listener = OpenLineageListener()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", transport)
        plugins.register(listener)
        yield file
        plugins.unregister(listener)


@pytest.fixture(scope="module")
def ended(written: Path, platform: LocalPlatform) -> Ended:
    """The pipeline's run, while OpenLineage listens."""
    remote = platform.remote
    connection = {"conn_type": "baseten", "host": remote.api_url, "password": remote.key.get_secret_value()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_BASETEN_DEFAULT", json.dumps(connection))
        return run(dag(pipeline, name="lineage"))


def test_lineage_leads_from_the_dataset_to_the_model(ended: Ended, written: Path, platform: LocalPlatform) -> None:
    events = [json.loads(line) for line in written.read_text().splitlines()]
    job, checkpoint, model = names(ended)
    assert sides(events, ended, "train") == (["s3://bucket/reviews"], [job])
    assert sides(events, ended, "choose") == ([job], [checkpoint])
    assert sides(events, ended, "deploy") == ([checkpoint], [model])
    assert sides(events, ended, "promote") == ([checkpoint], [model])
    assert platform.remote.key.get_secret_value() not in written.read_text()


def test_outlets_are_told_of_the_checkpoint_and_of_the_deployment(ended: Ended) -> None:
    _, checkpoint, model = names(ended)
    chosen = ended.xcom("choose")
    told = extras(ended)
    assert told["best-checkpoint"] == {
        "uri": checkpoint,
        "job_id": chosen["checkpoint"]["training_job_id"],
        "checkpoint": chosen["checkpoint"]["checkpoint_id"],
        "step": chosen["step"],
        "metric": "eval_loss",
        "value": chosen["value"],
    }
    served = {**ended.xcom("deploy"), "uri": model, "checkpoint": checkpoint}
    assert (told["served"], told[model]) == (served, served)
    assert told["production"] == {**ended.xcom("promote"), "uri": model, "checkpoint": checkpoint}


def names(ended: Ended) -> tuple[str, str, str]:
    """What lineage calls the job, the checkpoint and the model of a run."""
    chosen, deployed = ended.xcom("choose")["checkpoint"], ended.xcom("deploy")
    job = f"baseten://training/{chosen['training_job_id']}"
    return job, f"{job}/{chosen['checkpoint_id']}", f"baseten://models/{deployed['model_id']}"


def sides(events: list[dict[str, Any]], ended: Ended, task_id: str) -> tuple[list[str], list[str]]:
    """Inputs and outputs of a task, when it was complete."""
    (event,) = [
        each
        for each in events
        if each["eventType"] == "COMPLETE" and each["job"]["name"] == f"{ended.dag_id}.{task_id}"
    ]
    inputs, outputs = ([uri_of(thing) for thing in event[side]] for side in ("inputs", "outputs"))
    return inputs, outputs


def uri_of(thing: dict[str, Any]) -> str:
    namespace = thing["namespace"]
    return f"{namespace}/{thing['name']}" if "://" in namespace else f"{namespace}://{thing['name']}"


def extras(ended: Ended) -> dict[str, Any]:
    """The extra of each asset event of a run, by the asset's name."""
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == ended.run_id))
        return {event.asset.name: event.extra for event in events}
