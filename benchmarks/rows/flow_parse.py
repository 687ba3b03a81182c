"""Importing a flow file that uses the Prefect collection, beside one that uses Prefect alone.

`import prefect` alone loads names on first use: what a flow file pays for is what `flow` and `task` load.
"""

from __future__ import annotations

from benchmarks.measuring import cost_of, in_turn, python
from benchmarks.results import COSTS, Goal, Result, cost_row

ALONE, ONE_TASK, ALL = "a flow file without this", "with a task of this", "with all tasks, the block and the flow"
FLOW = "\n@flow\ndef own(parameter: int): ..."
FILES = {
    ALONE: f"from prefect import flow, task{FLOW}",
    ONE_TASK: f"from prefect import flow, task\nfrom prefect_truss_train import submit_training_job{FLOW}",
    ALL: f"""from prefect import flow, task
from prefect_truss_train import (
    BasetenCredentials, choose_checkpoint, deploy_checkpoint, on_new_dataset, resume_training_job, submit_training_job,
    train_and_deploy, wait_for_deployment, wait_for_training_job, with_remote_cancellation,
){FLOW}""",
}


def measure(quick: bool) -> Result:
    sides = {name: lambda code=code: cost_of([python(".venv-prefect"), "-c", code]) for name, code in FILES.items()}
    costs = in_turn(sides, 1 if quick else 9)
    alone = costs[ALONE]
    return Result(
        title="An interpreter that imports a flow file",
        goals=(
            Goal("processor time with all names, of a flow file without", costs[ALL].ratio(alone, "processor"), 1.1),
        ),
        columns=(*COSTS, "processor, of one without this"),
        table=[
            (*cost_row(name, each), f"{each.ratio(alone, 'processor').value:.2f} ×") for name, each in costs.items()
        ],
    )
