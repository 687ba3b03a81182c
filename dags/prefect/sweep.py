"""Try several learning rates at once and deploy the best checkpoint of all. The waits share one poll."""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from prefect_truss_train import (
    choose_checkpoint,
    deploy_checkpoint,
    submit_training_job,
    wait_for_deployment,
    wait_for_training_job,
    with_remote_cancellation,
)

CONFIG = str(Path(__file__).parents[2] / "examples" / "digits" / "config.py")


@with_remote_cancellation(credentials="baseten")
@flow
def sweep(rates: Sequence[float] = (0.01, 0.02, 0.05), config: str = CONFIG) -> str:
    """One job for each learning rate; those that fail are left out."""
    tries = [{"LEARNING_RATE": str(rate)} for rate in rates]
    submitted = submit_training_job.map(config, environment=tries, credentials="baseten")
    waited = wait_for_training_job.map(submitted, follow_logs=False)
    waited.wait()
    done = [run.result() for run in waited if run.state.is_completed()]
    chosen = choose_checkpoint.map(done, "eval_loss", "min", deploy_config=config).result()
    best = min(chosen, key=lambda run: run.record.choice.value)
    return wait_for_deployment(deploy_checkpoint(best)).record.deployment.deployment_id


if __name__ == "__main__":
    sweep()
