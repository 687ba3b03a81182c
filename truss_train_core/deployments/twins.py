"""Deployments that one request made twice, because it was carried out later than anybody looked.

What a process had sent before it died, or what a gateway held back, may be carried out after the next process has
looked and created the same again. So whoever waits for a deployment looks once more: when it is a minute old, or else
when it serves.

Deployments have no names to tell by. Twins serve the same checkpoints as the same model, carry the same labels, and
were created within a minute of each other; what somebody deployed a second time on another day is left alone.
"""

from __future__ import annotations

from typing import Any

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, now, send
from truss_train_core.api.models import Deployment
from truss_train_core.deployments.deploying import drop, is_live
from truss_train_core.deployments.requests import labels_in, served_by
from truss_train_core.errors import NotFound
from truss_train_core.once import LATE_CREATE


class TwinWatch:
    """Looks for twins of one deployment, once. An instance is for one wait."""

    def __init__(self) -> None:
        self._looked = False

    def __call__(self, deployment: Deployment) -> Flow[Deployment]:
        """The deployment to go on with: the oldest of the twins that live, of which newer ones are deactivated.

        Args:
            deployment: as it is now.
        """
        age = (yield from now()) - deployment.created_at.timestamp()
        if self._looked or not (deployment.is_ready or deployment.is_dead or age >= LATE_CREATE):
            return deployment
        stays = yield from _oldest_twin(deployment)
        self._looked = True
        return stays


def _oldest_twin(deployment: Deployment) -> Flow[Deployment]:
    listed = (yield from send(endpoints.list_deployments(deployment.model_id))).deployments
    near = [each for each in listed if is_live(each) and _seconds_between(each, deployment) <= LATE_CREATE]
    if all(each.id == deployment.id for each in near):
        return deployment
    wanted = yield from _what_it_is(deployment)
    twins = []
    for each in sorted(near, key=lambda each: (each.created_at, each.id)):
        if each.id == deployment.id or (yield from _what_it_is(each)) == wanted:
            twins.append(each)
    for newer in twins[1:]:
        yield from drop(newer, twins[0])
    return twins[0] if twins and twins[0].id != deployment.id else deployment


def _seconds_between(one: Deployment, other: Deployment) -> float:
    return abs((one.created_at - other.created_at).total_seconds())


def _what_it_is(deployment: Deployment) -> Flow[tuple[Any, ...]]:
    """What twins have in common; something that nothing else is where the deployment was deleted meanwhile."""
    try:
        answer = yield from send(endpoints.get_deployment_config(deployment.model_id, deployment.id))
    except NotFound:
        return (deployment.id,)
    return served_by(answer.config), labels_in((answer.config or {}).get("environment_variables") or {})
