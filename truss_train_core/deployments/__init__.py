"""Deployments: of checkpoints, exactly once; wait until one serves, ask it, promote it, roll it back.

For example, from a chosen checkpoint to an answer:

    config = deployments.with_checkpoint(config, choice.checkpoint)
    deployment = client.run(deployments.deploy(config))
    deployment = client.run(deployments.wait_until_serving(deployment))
    print(client.run(deployments.ask(deployment, {"prompt": "Hello"}, path="sync/v1/completions")))
"""

from truss_train_core.deployments.deploying import deactivate, deploy, describe, preview
from truss_train_core.deployments.instances import choose_instance
from truss_train_core.deployments.promotion import (
    Gate,
    Promoted,
    answers,
    begin_promotion,
    finish_promotion,
    intend_promotion,
    promote,
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
    "Promoted",
    "answers",
    "ask",
    "begin_promotion",
    "choose_instance",
    "deactivate",
    "deploy",
    "describe",
    "finish_promotion",
    "get",
    "intend_promotion",
    "labels",
    "labels_of",
    "preview",
    "promote",
    "roll_back",
    "template_request",
    "wait_until_serving",
    "with_checkpoint",
    "with_checkpoints",
    "with_labels",
]
