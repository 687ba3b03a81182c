"""Fine-tune on each new version of a dataset, exactly once, and deploy the best checkpoint labelled with the version.

Of versions that arrive in quick succession, the one that is there when the run begins is trained on; the log of the
task `version` names those that were passed over.
"""

import os
from pathlib import Path

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_truss_train.assets import NewDatasetVersionTrigger, version_to_train
from airflow_provider_truss_train.operators import (
    ChooseCheckpointOperator,
    DeployCheckpointOperator,
    TrainingJobOperator,
)

CONFIG = Path(__file__).parents[2] / "examples" / "digits" / "config.py"
SOURCE = os.environ.get("DATASET_SOURCE", "file:///srv/digits")  # or "s3://bucket/prefix", "hf://organization/dataset"
INTERVAL = float(os.environ.get("DATASET_INTERVAL", "300"))

dataset = Asset(
    "digits-data",
    watchers=[AssetWatcher(name="files", trigger=NewDatasetVersionTrigger(source=SOURCE, poll_interval=INTERVAL))],
)


@task
def version(triggering_asset_events: dict | None = None) -> dict:
    """The version that this run is for."""
    return version_to_train((triggering_asset_events or {}).get(dataset, []), SOURCE)


with DAG(
    "new_dataset",
    schedule=[dataset],
    max_active_runs=1,
    params={"epochs": 5, "hidden": 128},
    tags=["truss-train"],
):
    found = version()
    train = TrainingJobOperator(
        task_id="train",
        config=CONFIG,
        inlets=[dataset],
        once_per=found["version"],
        environment_variables={
            "EPOCHS": "{{ params.epochs }}",
            "HIDDEN": "{{ params.hidden }}",
            "DATASET_SOURCE": found["source"],
            "DATASET_VERSION": found["version"],
        },
    )
    choose = ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")
    DeployCheckpointOperator(
        task_id="deploy",
        checkpoint=choose.output,
        config=CONFIG,
        labels={"dataset": found["source"], "dataset_version": found["version"]},
    )
