"""Waiting until a deployment serves, and asking it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, send
from truss_train_core.api.models import Deployment
from truss_train_core.deployments.deploying import describe
from truss_train_core.deployments.requests import labels_in
from truss_train_core.deployments.twins import TwinWatch
from truss_train_core.errors import ApiError, DeploymentFailed, NotFound, Unreachable, WaitTimeout
from truss_train_core.events import DeploymentStatusChanged
from truss_train_core.waiting import Limits, patiently, wait_until

AN_HOUR = Limits(timeout=3600.0)
"""What a deployment may take to serve, unless one says otherwise."""
LOOK_INTERVAL = 3.0
"""Seconds between two looks at a deployment that has been in its status for some time."""
FIRST_LOOKS = 0.25
"""Seconds between the first looks at one; the pause then is a quarter of the time in that status."""
WAKING_LIMIT = 600.0
"""Seconds that a deployment may take to wake up and answer."""
LAST_LINES = 5
"""How many lines of a dead deployment's log its error quotes."""


def get(model_id: str, deployment_id: str, *, outage: float = 0.0) -> Flow[Deployment]:
    """The deployment of these ids as it is now.

    Args:
        model_id: as a record or an event names it.
        deployment_id: of this model.
        outage: seconds for which an API that does not answer is put up with.

    Raises:
        NotFound: it was deleted, or this key may not see it.
    """
    return (yield from patiently(lambda: send(endpoints.get_deployment(model_id, deployment_id)), outage))


def labels(deployment: Deployment) -> Flow[dict[str, str]]:
    """What a deployment is labelled with: by `with_labels`, or by whoever pushed it, which the API tells itself.

    Raises:
        NotFound: it was deleted.
        ApiError, Unreachable: looking was not possible.
    """
    answer = yield from send(endpoints.get_deployment_config(deployment.model_id, deployment.id))
    told = {name: str(value) for name, value in (deployment.labels or {}).items()}
    return {**told, **labels_in((answer.config or {}).get("environment_variables") or {})}


def wait_until_serving(deployment: Deployment, *, limits: Limits = AN_HOUR) -> Flow[Deployment]:
    """Wait until a deployment serves; scaled to zero counts, since it wakes up to answer.

    Returns:
        the deployment, or its older twin, where its creation was asked for twice: then the newer one is deactivated.

    Raises:
        DeploymentFailed: it will not serve by itself any more; the message ends with its last log lines.
        WaitTimeout: the limit has passed. It may still cost money.
        ApiError, Unreachable: an outage took longer than `limits.outage`.
    """
    watch = _Watch(deployment)
    return (
        yield from wait_until(
            lambda current: current.is_ready,
            watch.look,
            pace=watch.interval,
            limits=limits,
            overdue=watch.overdue,
        )
    )


def ask(
    deployment: Deployment, body: Mapping[str, Any], *, path: str = "predict", patience: float = WAKING_LIMIT
) -> Flow[Any]:
    """A deployment's answer, as parsed JSON. While it wakes up, it is asked again for `patience` seconds.

    Raises:
        ApiError, Unreachable: the last error after that time, or an error that asking again does not help.
    """
    request = endpoints.predict(deployment.model_id, deployment.id, body, path)
    return (yield from patiently(lambda: send(request), patience))


class _Watch:
    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.told = ""
        self.at = self.since = 0.0  # of the last look, and of the first one in this status
        self.twins = TwinWatch()

    def look(self) -> Flow[Deployment]:
        try:
            current = yield from send(endpoints.get_deployment(self.deployment.model_id, self.deployment.id))
        except NotFound as error:
            raise self._failed("was deleted") from error
        self.deployment = current = yield from self.twins(current)
        self.at = yield from now()
        if current.status != self.told:
            self.told, self.since = current.status, self.at
            yield from emit(
                DeploymentStatusChanged(model_id=current.model_id, deployment_id=current.id, status=current.status)
            )
        if current.is_dead:
            lines = yield from _last_lines(current)
            raise self._failed(f"is {current.status}{f': {lines}' if lines else ''}")
        return current

    def interval(self, _: Deployment) -> float:
        return min(LOOK_INTERVAL, max(FIRST_LOOKS, (self.at - self.since) / 4.0))

    def overdue(self, seconds: float) -> WaitTimeout:
        current = self.deployment
        return WaitTimeout(
            f"{describe(current)} is still {current.status} after {seconds:.0f} s. It may cost money.",
            hint="Wait again, or deactivate it: "
            f"POST /v1/models/{current.model_id}/deployments/{current.id}/deactivate",
        )

    def _failed(self, how: str) -> DeploymentFailed:
        current = self.deployment
        return DeploymentFailed(
            f"{describe(current)} {how}",
            hint="It does not run. Its log says more.",
            model_id=current.model_id,
            deployment_id=current.id,
            status=current.status,
        )


def _last_lines(deployment: Deployment) -> Flow[str]:
    """The end of a deployment's log in one line; empty where it cannot be had."""
    try:
        request = endpoints.deployment_logs(deployment.model_id, deployment.id, limit=LAST_LINES, direction="desc")
        logs = (yield from send(request)).logs
    except (ApiError, Unreachable):
        return ""
    return " | ".join(line.message.strip() for line in sorted(logs, key=lambda line: int(line.timestamp)))
