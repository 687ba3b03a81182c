"""Sweep: try hyperparameters side by side, a few at a time, stop poor trials early, and deploy the best of all.

Each trial is a mapped task that needs no worker while it waits. One that fails does not fail the sweep.
"""

from pathlib import Path

from airflow.sdk import DAG, task

from airflow_provider_truss_train.operators import ChooseTrialOperator, DeployCheckpointOperator, TrainingJobOperator

CONFIG = "{{ params.config }}"
AT_ONCE = 4  # trials, and so GPUs, at a time, over all runs of the DAG
PARAMS = {
    "config": str(Path(__file__).parents[2] / "examples" / "digits" / "config.py"),
    "space": {"LEARNING_RATE": {"low": 0.001, "high": 0.5, "scale": "log"}, "HIDDEN": [64, 128, 256]},
    "samples": 9,  # random ones; 0 for every combination of a space of lists
    "seed": 0,
    "first_rung": 2,  # epochs until trials are compared first; then 3 times as many, 9 times …
    "epochs": 20,
}


@task(retries=2)
def trials(params: dict | None = None, dag_run=None) -> list[dict]:
    """What is tried: the same whenever the task runs again."""
    from truss_train_core import sweeps
    from truss_train_core.jobs import run_key

    assert params
    halving = sweeps.Halving(first=params["first_rung"], eta=3, unit="epoch")
    objective = sweeps.Objective(metric="eval_loss", mode="min", halving=halving)
    key = run_key(dag_run.dag_id, dag_run.run_id)
    if params["samples"]:
        made = sweeps.sample(params["space"], params["samples"], objective, key=key, seed=params["seed"])
    else:
        made = sweeps.grid(params["space"], objective, key=key)
    return [trial.model_dump(mode="json") for trial in made]


with DAG("sweep", schedule=None, params=PARAMS, tags=["truss-train"]):
    tried = trials()
    train = TrainingJobOperator.partial(
        task_id="train",
        config=CONFIG,
        environment_variables={"EPOCHS": "{{ params.epochs }}"},
        follow_logs=False,
        max_active_tis_per_dag=AT_ONCE,
        map_index_template="{{ task.trial['number'] }}: {{ task.trial['parameters'] }}",
    ).expand(trial=tried)
    best = ChooseTrialOperator(task_id="best", trials=tried, config=CONFIG)
    train >> best
    DeployCheckpointOperator(task_id="deploy", checkpoint=best.output, config=CONFIG)
