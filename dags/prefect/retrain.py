"""Retrain every night from the checkpoint that production serves, and promote only what does better on held-out data.

Otherwise production is kept, the refused deployment is let go, and the flow run's state says why. Nights that were
missed are made up for by one run; a run that is started while another goes on is cancelled.
"""

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.states import Completed, State

from prefect_truss_train import (
    find_served_checkpoint,
    promote_deployment,
    train_and_deploy,
    with_remote_cancellation,
)
from truss_train_core import gates
from truss_train_core.deployments import Kept

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
CONFIG = str(DIGITS / "config.py")
HELD_OUT = gates.labelled(DIGITS / "held_out.json", label="digit")


@with_remote_cancellation(credentials="baseten")
@flow(name="retrain")
def retrain(epochs: int = 20, hidden: int = 4096, learning_rate: float = 0.02, margin: float = 0.01) -> State:
    """Train, deploy, compare on the same held-out digits, promote or keep."""
    start = find_served_checkpoint("digits", credentials="baseten")
    run = train_and_deploy(
        CONFIG,
        begin_from=[start] if start else [],
        variables={"EPOCHS": str(epochs), "HIDDEN": str(hidden), "LEARNING_RATE": str(learning_rate)},
        metric="eval_loss",
        mode="min",
        deploy_config=CONFIG,
        credentials="baseten",
    )
    better = gates.better(HELD_OUT, mode="max", margin=margin)
    outcome = promote_deployment(run, gates=[better], when_refused="keep")
    return Completed(
        name="Kept" if isinstance(outcome, Kept) else "Promoted",
        message=outcome.reason,
        data=outcome.model_dump(mode="json"),
    )


if __name__ == "__main__":
    one_at_a_time = ConcurrencyLimitConfig(limit=1, collision_strategy="CANCEL_NEW")
    retrain.serve("nightly", cron="0 2 * * *", global_limit=one_at_a_time)
