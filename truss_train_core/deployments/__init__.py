"""Deployments: of checkpoints, exactly once; wait until one serves, ask it, promote it, watch it, roll it back.

For example, from a chosen checkpoint to an answer:

    config = deployments.with_checkpoint(config, choice.checkpoint)
    deployment = client.run(deployments.deploy(config))
    deployment = client.run(deployments.wait_until_serving(deployment))
    print(client.run(deployments.ask(deployment, {"prompt": "Hello"}, path="sync/v1/completions")))
"""

from truss_train_core.deployments.deploying import deactivate, deploy, describe, preview
from truss_train_core.deployments.instances import choose_instance
from truss_train_core.deployments.origin import answering, checkpoint_of
from truss_train_core.deployments.probation import Probation, begin_probation, expect_passed, probe_once, watch
from truss_train_core.deployments.promotion import (
    Gate,
    Kept,
    Promoted,
    Verdict,
    begin_promotion,
    finish_promotion,
    intend_promotion,
    keep,
    promote,
    promote_or_keep,
    roll_back,
)
from truss_train_core.deployments.requests import (
    LABELS,
    labels_of,
    template_request,
    with_checkpoint,
    with_checkpoints,
    with_labels,
)
from truss_train_core.deployments.serving import ask, get, labels, wait_until_serving

__all__ = [
    "LABELS",
    "Gate",
    "Kept",
    "Probation",
    "Promoted",
    "Verdict",
    "answering",
    "ask",
    "begin_probation",
    "begin_promotion",
    "checkpoint_of",
    "choose_instance",
    "deactivate",
    "deploy",
    "describe",
    "expect_passed",
    "finish_promotion",
    "get",
    "intend_promotion",
    "keep",
    "labels",
    "labels_of",
    "preview",
    "probe_once",
    "promote",
    "promote_or_keep",
    "roll_back",
    "template_request",
    "wait_until_serving",
    "watch",
    "with_checkpoint",
    "with_checkpoints",
    "with_labels",
]
