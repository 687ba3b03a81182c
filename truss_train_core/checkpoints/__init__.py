"""Checkpoints: list them, read how good they are, choose the best, find one to resume from. Nothing large is read.

For example, the one to deploy:

    choice = client.run(checkpoints.find_best([job], "eval_loss", "min", requirement=checkpoints.deployable))
    print(choice.checkpoint.checkpoint_id, choice.reason)
"""

from truss_train_core.checkpoints.best import candidates, find_best, find_newest, find_top
from truss_train_core.checkpoints.choose import Candidate, Choice, Mode, choose_best, choose_newest, choose_top
from truss_train_core.checkpoints.listing import Survey, list_checkpoints, list_files, read_state, step_of, survey
from truss_train_core.checkpoints.requirements import Requirement, complete, deployable
from truss_train_core.checkpoints.sources import (
    DEFAULT,
    Metrics,
    Source,
    from_function,
    from_log,
    metrics_file,
    read_metrics,
    scored_by,
    training_history,
)
from truss_train_core.checkpoints.trainer_state import TrainerState
from truss_train_core.checkpoints.verification import Verified, newest_verified, verify
from truss_train_core.checkpoints.watch import CheckpointWatch, wait_for

__all__ = [
    "DEFAULT",
    "Candidate",
    "CheckpointWatch",
    "Choice",
    "Metrics",
    "Mode",
    "Requirement",
    "Source",
    "Survey",
    "TrainerState",
    "Verified",
    "candidates",
    "choose_best",
    "choose_newest",
    "choose_top",
    "complete",
    "deployable",
    "find_best",
    "find_newest",
    "find_top",
    "from_function",
    "from_log",
    "list_checkpoints",
    "list_files",
    "metrics_file",
    "newest_verified",
    "read_metrics",
    "read_state",
    "scored_by",
    "step_of",
    "survey",
    "training_history",
    "verify",
    "wait_for",
]
