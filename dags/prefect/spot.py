"""Train for long on spot capacity: cheap, taken away again and again, and through by a deadline all the same.

Each attempt goes on from the last verified checkpoint. Near the deadline, attempts begin on dedicated capacity; past
it, or when the money is spent, the job is stopped. A table tells what each preemption cost.
"""

from datetime import timedelta
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from prefect_truss_train import train_and_deploy, with_remote_cancellation

CONFIG = str(Path(__file__).parents[2] / "examples" / "digits" / "config.py")


@with_remote_cancellation(credentials="baseten")
@flow
def spot(
    config: str = CONFIG,
    variables: dict[str, str] | None = None,
    hours: float = 24.0,
    hours_undisturbed: float = 6.0,
    max_cost: float = 100.0,
    price: float = 6.5,
    spot_price: float = 2.5,
    max_preemptions: int = 50,
) -> str:
    """Train; returns the name of the best checkpoint.

    Args:
        config: path of a config.py, whose `availability_model` is "spot".
        variables: environment variables of the training.
        hours: from the scheduled start of the flow run to its deadline.
        hours_undisturbed: how long the training takes on capacity that stays: from so long before the deadline on,
            attempts begin there.
        max_cost: of all attempts, in the currency of the prices.
        price: of one node for an hour, on dedicated capacity.
        spot_price: the same on spot capacity.
        max_preemptions: how many preempted attempts are followed by another one.
    """
    by = flow_run.scheduled_start_time + timedelta(hours=hours)  # the same for a retry
    budget = {
        "cost": max_cost,
        "price": {"dedicated": price, "spot": spot_price},
        "deadline": {"at": by.isoformat(), "margin": hours_undisturbed * 3600},
    }
    run = train_and_deploy(
        config,
        variables=variables,
        credentials="baseten",
        metric="eval_loss",
        mode="min",
        budget=budget,
        max_preemptions=max_preemptions,
    )
    return run.record.choice.checkpoint.name


if __name__ == "__main__":
    spot()
