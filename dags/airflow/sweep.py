"""Train several variants at once, each an own task that needs no worker while it waits, and deploy the best of all."""

from pathlib import Path

from airflow.sdk import DAG, task

from airflow_provider_truss_train.operators import DeployCheckpointOperator, TrainingJobOperator

CONFIG = Path(__file__).parents[2] / "examples" / "digits" / "config.py"


@task
def variants(params: dict | None = None) -> list[dict[str, str]]:
    """What the variants are, as environment variables of the training."""
    assert params
    return [{"LEARNING_RATE": str(rate), "EPOCHS": str(params["epochs"])} for rate in params["rates"]]


@task
def best(records: list[dict]) -> dict:
    """The best checkpoint of all variants."""
    from airflow_provider_truss_train.hooks import BasetenHook
    from truss_train_core import RunRecord, checkpoints, runs

    with BasetenHook().client() as client:
        jobs = [job for record in records for job in client.run(runs.jobs_of(RunRecord.model_validate(record)))]
        choice = client.run(checkpoints.find_best(jobs, "eval_loss", "min", requirement=checkpoints.deployable))
    return choice.model_dump(mode="json", exclude={"table"})


with DAG("sweep", schedule=None, params={"rates": [0.02, 0.05, 0.2], "epochs": 5}, tags=["truss-train"]):
    train = TrainingJobOperator.partial(task_id="train", config=CONFIG).expand(environment_variables=variants())
    DeployCheckpointOperator(task_id="deploy", checkpoint=best(train.output), config=CONFIG)
