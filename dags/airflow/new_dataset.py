"""Fine-tune on each new version of a dataset, exactly once, and deploy the best checkpoint labelled with the version.

Of versions that arrive in quick succession, the one that is there when the run begins is trained on; the log of the
task `version` names those that were passed over.
"""

import os
from datetime import timedelta
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
PARAMS = {"config": str(CONFIG), "epochs": 5, "hidden": 128}
TRIES = {"retries": 2, "retry_delay": timedelta(seconds=30)}

watched = NewDatasetVersionTrigger(source=SOURCE, poll_interval=INTERVAL)
dataset = Asset("digits-data", watchers=[AssetWatcher(name="files", trigger=watched)])


@task
def version(triggering_asset_events: dict | None = None) -> dict:
    """The version that this run is for."""
    return version_to_train((triggering_asset_events or {}).get(dataset, []), SOURCE)


with DAG("new_dataset", schedule=[dataset], max_active_runs=1, params=PARAMS, default_args=TRIES, tags=["truss-train"]):
    found = version()
    source, of_source = found["source"], found["version"]
    variables = {"EPOCHS": "{{ params.epochs }}", "HIDDEN": "{{ params.hidden }}"}
    train = TrainingJobOperator(
        task_id="train",
        config="{{ params.config }}",
        inlets=[dataset],
        once_per=of_source,
        environment_variables={**variables, "DATASET_SOURCE": source, "DATASET_VERSION": of_source},
    )
    choose = ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")
    DeployCheckpointOperator(
        task_id="deploy",
        checkpoint=choose.output,
        config="{{ params.config }}",
        labels={"dataset": source, "dataset_version": of_source},
    )
