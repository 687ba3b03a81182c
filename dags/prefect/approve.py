"""Score the best three checkpoints, ask a person, promote, watch, and roll back by itself what fails its probes."""

from pathlib import Path

from prefect import flow
from prefect.states import Completed, State

from prefect_truss_train import (
    NotApproved,
    ask_for_approval,
    choose_checkpoint,
    deploy_checkpoint,
    promote_deployment,
    rank_checkpoints,
    train_and_deploy,
    wait_for_deployment,
    watch_deployment,
    with_remote_cancellation,
)
from truss_train_core import gates

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
CONFIG, SCORE_CONFIG = str(DIGITS / "config.py"), str(DIGITS / "score_config.py")
HELD_OUT = gates.labelled(DIGITS / "held_out.json", label="digit", patience=30)


@with_remote_cancellation(credentials="baseten")
@flow(name="approve")
def approve(
    epochs: int = 20,
    hidden: int = 4096,
    approval: bool = True,
    probe_seconds: float = 1800,
    probe_every: float = 60,
    accuracy: float = 0.9,
) -> State:
    """Train, score, choose, deploy; ask a person, unless `approval` is off; promote, and probe for a while."""
    sizes = {"EPOCHS": str(epochs), "HIDDEN": str(hidden)}
    run = train_and_deploy(CONFIG, variables=sizes, credentials="baseten")
    ranked = rank_checkpoints(run, "eval_loss", "min", count=3)
    scored = train_and_deploy(SCORE_CONFIG, begin_from=ranked, credentials="baseten")
    run = choose_checkpoint(run, "held_out_accuracy", "max", scored_by=scored, deploy_config=CONFIG)
    run = wait_for_deployment(deploy_checkpoint(run))
    if approval:
        try:
            ask_for_approval(run)
        except NotApproved as word:
            return Completed(name="Rejected", message=str(word))
    promoted = promote_deployment(run)
    probe = gates.score(HELD_OUT, at_least=accuracy)
    watched = watch_deployment(run, promoted, [probe], seconds=probe_seconds, every=probe_every)
    return Completed(message=watched.reason, data=watched.model_dump(mode="json"))


if __name__ == "__main__":
    approve()
