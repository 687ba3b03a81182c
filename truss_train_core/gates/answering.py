"""A gate: a deployment answers a question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from truss_train_core.api.flows import Flow, work
from truss_train_core.api.models import Deployment
from truss_train_core.deployments import Gate, Verdict, ask
from truss_train_core.deployments.serving import WAKING_LIMIT
from truss_train_core.errors import ApiError, Unreachable

SHOWN = 200
"""Characters of an answer that a verdict quotes."""


def answers(
    question: Mapping[str, Any],
    expected: Callable[[Any], bool] | None = None,
    *,
    path: str = "predict",
    patience: float = WAKING_LIMIT,
) -> Gate:
    """A gate: the deployment answers a question, and the answer is as expected.

    Args:
        question: a JSON object.
        expected: tells of the parsed answer whether it will do; None for any answer.
        path: where to ask, as in `deployments.ask`.
        patience: seconds for which it is asked again while it does not answer, since it may have to wake up.
    """

    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        try:
            answer = yield from ask(deployment, question, path=path, patience=patience)
        except (ApiError, Unreachable) as error:
            return Verdict(passes=False, reason=f"it does not answer: {error.message}")
        said = str(answer)[:SHOWN]
        if expected is None or (yield from work(lambda: expected(answer))):
            return Verdict(passes=True, reason=f"it answers {said}")
        return Verdict(passes=False, reason=f"its answer is not as expected: {said}")

    return gate
