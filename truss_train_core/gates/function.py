"""A gate: a user's own function, for everything else."""

from __future__ import annotations

from collections.abc import Callable

from truss_train_core.api.flows import Flow, work
from truss_train_core.api.models import Deployment
from truss_train_core.deployments import Gate, Verdict

Judge = Callable[[Deployment, Deployment | None], str | None]


def judged_by(judge: Judge) -> Gate:
    """A gate that calls `judge` with the deployment and the one that answers now, or None.

    Args:
        judge: returns what speaks against the deployment, in words, or None. It may block; what it raises ends the
            promotion, and nothing changes.
    """
    name = getattr(judge, "__name__", type(judge).__name__)

    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        objection = yield from work(lambda: judge(deployment, current))
        return Verdict(passes=objection is None, reason=objection or f"{name} does not object")

    return gate
