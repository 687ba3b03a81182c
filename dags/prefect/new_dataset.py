"""Train whenever a dataset has a new version: one served flow watches, an event starts the other."""

from pathlib import Path

from prefect import flow, serve

from prefect_truss_train import (
    choose_checkpoint,
    on_new_dataset,
    submit_training_job,
    wait_for_training_job,
    watch_dataset,
    with_remote_cancellation,
)

CONFIG = str(Path(__file__).parents[2] / "examples" / "digits" / "config.py")
SOURCE = "hf://stanfordnlp/imdb"  # or "s3://bucket/prefix", or a directory


@with_remote_cancellation(credentials="baseten")
@flow
def train_on(version: str, config: str = CONFIG) -> str:
    """Train on one version of the dataset; the training code finds it in `DATASET_VERSION`."""
    run = submit_training_job(config, environment={"DATASET_VERSION": version}, credentials="baseten")
    run = choose_checkpoint(wait_for_training_job(run), "eval_loss", "min")
    assert run.record.choice
    return run.record.choice.checkpoint.name


if __name__ == "__main__":
    trigger = on_new_dataset("reviews", parameters={"version": "{{ event.payload.version }}"})
    serve(
        watch_dataset.to_deployment("reviews", interval=300, parameters={"name": "reviews", "source": SOURCE}),
        train_on.to_deployment("reviews", triggers=[trigger]),
    )
