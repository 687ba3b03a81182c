"""Gates by held-out data: a deployment is asked all of it, and a function scores the answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truss_train_core.api.flows import Flow, work
from truss_train_core.api.models import Deployment
from truss_train_core.checkpoints import Mode
from truss_train_core.deployments import Gate, Verdict, ask
from truss_train_core.deployments.serving import WAKING_LIMIT
from truss_train_core.errors import ApiError, Unreachable
from truss_train_core.gates.bounds import Bounds


@dataclass(frozen=True)
class HeldOut:
    """Data that the model was not trained on, as questions, and how its answers are scored.

    Attributes:
        questions: JSON objects, each asked on its own.
        score: the score of the parsed answers, in the order of the questions. It may block.
        name: what the score is called in verdicts.
        path: where to ask, as in `deployments.ask`.
        patience: seconds for which a question is asked again while there is no answer: a deployment may have to wake
            up.
    """

    questions: Sequence[Mapping[str, Any]]
    score: Callable[[list[Any]], float]
    name: str = "score"
    path: str = "predict"
    patience: float = WAKING_LIMIT


def labelled(
    examples: Path | Sequence[Mapping[str, Any]], label: str, *, path: str = "predict", patience: float = WAKING_LIMIT
) -> HeldOut:
    """Examples with a label each; the score is the accuracy, the share of answers that have the right label.

    Args:
        examples: JSON objects, or a file with a list of them. What is asked is an example without its label.
        label: the field that holds it, in the example and in the answer.
        path: where to ask, as in `deployments.ask`.
        patience: seconds, as in `HeldOut`.

    Raises:
        OSError, ValueError, KeyError: there are no such examples.
    """
    rows = json.loads(examples.read_text()) if isinstance(examples, Path) else examples
    if not rows:
        raise ValueError("there are no examples")
    right = [row[label] for row in rows]
    questions = [{name: value for name, value in row.items() if name != label} for row in rows]

    def accuracy(answers: list[Any]) -> float:
        hits = (isinstance(each, dict) and each.get(label) == it for each, it in zip(answers, right, strict=True))
        return sum(map(bool, hits)) / len(right)

    return HeldOut(questions=questions, score=accuracy, name="accuracy", path=path, patience=patience)


def score(held_out: HeldOut, *, at_least: float | None = None, at_most: float | None = None) -> Gate:
    """A gate: the deployment's score is within bounds, themselves included.

    Raises:
        ValueError: there is no bound.
    """
    bounds = Bounds(at_least, at_most)

    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        try:
            reached = yield from _measure(held_out, deployment)
        except (ApiError, Unreachable) as error:
            return Verdict(passes=False, reason=f"it does not answer: {error.message}")
        return bounds.verdict(_said(held_out), reached)

    return gate


def better(held_out: HeldOut, *, mode: Mode = "max", margin: float = 0.0) -> Gate:
    """A gate: the deployment scores better than the one that answers now, which is asked the same.

    Where nothing answers yet, it passes. Where what answers cannot be scored, it does not: nothing is promoted without
    a comparison.

    Args:
        held_out: the data, and how answers are scored.
        mode: "max" where more is better, "min" where less is.
        margin: by how much at least; by anything at all where it is 0.

    Raises:
        ValueError: `mode` is neither, or `margin` is negative.
    """
    if mode not in ("min", "max"):
        raise ValueError(f"mode is 'min' or 'max', not {mode!r}")
    if not margin >= 0:
        raise ValueError(f"margin is at least 0, not {margin}: the direction is said by mode")

    def gate(deployment: Deployment, current: Deployment | None) -> Flow[Verdict]:
        try:
            reached = yield from _measure(held_out, deployment)
        except (ApiError, Unreachable) as error:
            return Verdict(passes=False, reason=f"it does not answer: {error.message}")
        words = f"{_said(held_out)} is {reached:.6g}"
        if current is None:
            passes = math.isfinite(reached)
            return Verdict(passes=passes, reason=f"{words}, and nothing answers yet that it could be compared with")
        try:
            now = yield from _measure(held_out, current)
        except (ApiError, Unreachable) as error:
            reason = f"{words}, but {current.id}, which answers now, cannot be asked: {error.message}"
            return Verdict(passes=False, reason=reason)
        return Verdict(
            passes=_is_better(reached, now, mode, margin),
            reason=f"{words}, and {now:.6g} that of {current.id}, which answers now; {_wanted(mode, margin)} is wanted",
        )

    return gate


def _measure(held_out: HeldOut, deployment: Deployment) -> Flow[float]:
    answers = []
    for question in held_out.questions:
        answers.append((yield from ask(deployment, question, path=held_out.path, patience=held_out.patience)))
    return (yield from work(lambda: float(held_out.score(answers))))


def _is_better(reached: float, now: float, mode: Mode, margin: float) -> bool:
    """NaN and infinities are never better, nor better than."""
    if not (math.isfinite(reached) and math.isfinite(now)):
        return False
    gain = reached - now if mode == "max" else now - reached
    # 0.95 − 0.94 is a little less than 0.01.
    return gain > 0 and (gain >= margin or math.isclose(gain, margin, rel_tol=1e-9))


def _wanted(mode: Mode, margin: float) -> str:
    how = "more" if mode == "max" else "less"
    return f"at least {margin:.6g} {how}" if margin else how


def _said(held_out: HeldOut) -> str:
    return f"its {held_out.name} of {len(held_out.questions)} held-out questions"
