"""Fine-tune on each new version of a dataset, exactly once, and deploy the best checkpoint labelled with the version.

One served flow watches and starts the other, one run at a time. A version that is no longer there when its run begins
is passed over: the one that took its place has a run of its own.
"""

import os
from pathlib import Path

from prefect import flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.states import Completed, State

from prefect_truss_train import train_and_deploy, watch_dataset
from truss_train_core import datasets

CONFIG = str(Path(__file__).parents[2] / "examples" / "digits" / "config.py")
SOURCE = os.environ.get("DATASET_SOURCE", "/srv/digits")  # or "s3://bucket/prefix", "hf://organization/dataset"
INTERVAL = float(os.environ.get("DATASET_INTERVAL", "300"))


@flow
def fine_tune(source: str, version: str, config: str = CONFIG, epochs: int = 5, hidden: int = 128) -> State | None:
    """Train on one version of the dataset; the training finds in `DATASET_SOURCE` and `DATASET_VERSION` which."""
    if datasets.look(source).version != version:
        return Completed(name="Skipped", message=f"{source} has changed since: the change has a run of its own.")
    train_and_deploy(
        config,
        credentials="baseten",
        variables={
            "EPOCHS": str(epochs),
            "HIDDEN": str(hidden),
            "DATASET_SOURCE": source,
            "DATASET_VERSION": version,
        },
        metric="eval_loss",
        mode="min",
        deploy_config=config,
        dataset=source,
        labels={"dataset": source, "dataset_version": version},
    )
    return None


if __name__ == "__main__":
    watch = {"name": "digits", "source": SOURCE, "deployment": "fine-tune/new_dataset"}
    one_look = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    serve(
        fine_tune.to_deployment("new_dataset", concurrency_limit=1),
        watch_dataset.to_deployment("new_dataset", interval=INTERVAL, parameters=watch, concurrency_limit=one_look),
    )
