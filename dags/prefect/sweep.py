"""Sweep: try hyperparameters side by side, a few at a time, stop poor trials early, and deploy the best of all.

Each trial is a mapped task, from its submission to its end. One that fails does not fail the sweep.
"""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from prefect_truss_train import (
    choose_trial,
    deploy_checkpoint,
    train_trial,
    wait_for_deployment,
    with_remote_cancellation,
)
from truss_train_core import jobs, sweeps

CONFIG = str(Path(__file__).parents[2] / "examples" / "digits" / "config.py")
AT_ONCE = 4  # trials, and so GPUs, at a time
SPACE = {"LEARNING_RATE": {"low": 0.001, "high": 0.5, "scale": "log"}, "HIDDEN": [64, 128, 256]}


@with_remote_cancellation(credentials="baseten")
@flow(task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))
def sweep(
    config: str = CONFIG,
    space: dict[str, Any] = SPACE,
    samples: int = 9,
    seed: int = 0,
    first_rung: float = 2,
    epochs: int = 20,
) -> str:
    """Train all trials, and deploy the best checkpoint; returns the id of its deployment.

    `samples` are random ones, 0 for every combination of a space of lists. Trials are compared first after `first_rung`
    epochs, then after 3 times as many, and so on.
    """
    halving = sweeps.Halving(first=first_rung, eta=3, unit="epoch")
    objective = sweeps.Objective(metric="eval_loss", mode="min", halving=halving)
    key = jobs.run_key("sweep", flow_run.id)
    if samples:
        trials = sweeps.sample(space, samples, objective, key=key, seed=seed)
    else:
        trials = sweeps.grid(space, objective, key=key)
    environment = [{"EPOCHS": epochs}] * len(trials)
    train_trial.map(config, trials, environment=environment, credentials="baseten").wait()
    best = choose_trial(config, trials, deploy_config=config, credentials="baseten")
    return wait_for_deployment(deploy_checkpoint(best)).record.deployment.deployment_id


if __name__ == "__main__":
    sweep()
