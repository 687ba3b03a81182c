"""A person's word before a checkpoint is put into service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from prefect_truss_train import artifacts

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun


class NotApproved(RuntimeError):
    """A person looked at the evaluation and said no. What served before serves on; the checkpoints stay."""


class Approval(RunInput):
    """What the person is asked."""

    approved: bool = Field(default=False, description="Whether the checkpoint is to be put into service.")
    comment: str = Field(default="", description="Why.")


def ask_for_approval(run: TrainingRun, *, timeout: float = 86400.0) -> Approval:
    """Pause the flow run, show the evaluation, and go on when a person approves. Call it in a flow.

    Args:
        run: from `choose_checkpoint` or a task after it.
        timeout: seconds that the person has; after that the flow run fails.

    Raises:
        NotApproved: the person said no.
    """
    form = Approval.with_initial_data(description=artifacts.summary(run, None))
    approval = pause_flow_run(wait_for_input=form, timeout=int(timeout), key=f"approval-{run.record.key}")
    if not approval.approved:
        raise NotApproved(
            f"Checkpoint {run.record.choice.checkpoint.name if run.record.choice else ''} of run {run.record.key} "
            f"was not approved{f': {approval.comment}' if approval.comment else '.'}"
        )
    return approval
