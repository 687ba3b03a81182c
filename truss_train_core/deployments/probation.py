"""Watching a deployment after its promotion: it is probed for a while, and taken out of service when it fails.

    promoted = client.run(deployments.promote(deployment))
    ended = client.run(deployments.watch(promoted, [probe], seconds=3600, every=60))
    deployments.expect_passed(ended)

A probe is a gate that is asked again and again. A few objections in a row, not one, roll the promotion back: the former
deployment answers again. `probe_once` is one round of that, from a record to the next, for those who keep the record
and come back later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, now, pause, send
from truss_train_core.deployments.promotion import Gate, Promoted, Verdict, roll_back
from truss_train_core.deployments.serving import AN_HOUR
from truss_train_core.errors import DeploymentFailed, TrussTrainError
from truss_train_core.events import DeploymentProbed, Notice
from truss_train_core.values import Value
from truss_train_core.waiting import Limits, patiently

OBJECTIONS = 3
"""How many in a row end a probation, unless one says otherwise."""

Outcome = Literal["watching", "passed", "overtaken", "rolled back", "stuck"]


class Probation(Value):
    """Where a probation is; JSON.

    Attributes:
        promoted: what is watched.
        until: when it has passed, in seconds since 1970.
        probed: how many rounds there were.
        objections: how many of the last in a row objected.
        reason: what the last probe said.
        outcome: "overtaken" where something else was promoted meanwhile, which is left alone; "rolled back" where the
            former deployment answers again; "stuck" where it should but could not be put back.
        answers: the deployment that answers at the end, where that is known.
    """

    promoted: Promoted
    until: float
    probed: int = 0
    objections: int = 0
    reason: str = ""
    outcome: Outcome = "watching"
    answers: str | None = None


def watch(
    promoted: Promoted,
    probes: Iterable[Gate],
    *,
    seconds: float,
    every: float = 60.0,
    objections: int = OBJECTIONS,
    limits: Limits = AN_HOUR,
) -> Flow[Probation]:
    """Probe a deployment for a while after its promotion, and roll that back if it fails.

    Args:
        promoted: from `promote`.
        probes: gates, asked in order; the first objection is that of the round.
        seconds: for how long.
        every: seconds between two rounds.
        objections: how many rounds in a row have to object.
        limits: how long the environment may take to answer with the former deployment.

    Raises:
        ApiError, Unreachable: an outage of the management API took longer than `limits.outage`. The deployment answers
            on; watch it again.
    """
    record, probes = (yield from begin_probation(promoted, seconds)), tuple(probes)
    while True:
        record = yield from probe_once(record, probes, objections=objections, limits=limits)
        if record.outcome != "watching":
            return record
        yield from pause(every)


def begin_probation(promoted: Promoted, seconds: float) -> Flow[Probation]:
    """The record of a probation that takes so long from now."""
    return Probation(promoted=promoted, until=(yield from now()) + seconds)


def probe_once(
    record: Probation, probes: Iterable[Gate], *, objections: int = OBJECTIONS, limits: Limits = AN_HOUR
) -> Flow[Probation]:
    """One round of a probation; returns the next record. Arguments and errors are those of `watch`."""
    promoted = record.promoted
    request = endpoints.get_environment(promoted.model_id, promoted.environment)
    current = (yield from patiently(lambda: send(request), limits.outage)).current_deployment
    if current and current.id == promoted.former_id and not promoted.is_no_change:  # by us, before a death, or a person
        reason = record.reason or "the former one was put back meanwhile"
        return record.model_copy(update={"outcome": "rolled back", "reason": reason, "answers": current.id})
    if current is None or current.id != promoted.deployment_id:
        text = f"answers with {current.id if current else 'nothing'}, which is left alone: its watch ends"
        yield from emit(Notice(about=f"environment {promoted.environment!r}", text=text))
        return record.model_copy(update={"outcome": "overtaken", "answers": current.id if current else None})
    verdict = Verdict(passes=True, reason="")
    for probe in probes:
        verdict = yield from probe(current, None)
        if not verdict.passes:
            break
    against = 0 if verdict.passes else record.objections + 1
    yield from _tell(promoted, against, verdict.reason)
    update = {"probed": record.probed + 1, "objections": against, "reason": verdict.reason, "answers": current.id}
    record = record.model_copy(update=update)
    if against >= objections:
        return (yield from _rolled_back(record, limits))
    over = (yield from now()) >= record.until and not against  # an objection is not the last word
    return record.model_copy(update={"outcome": "passed"}) if over else record


def expect_passed(ended: Probation) -> Probation:
    """A probation that ended without a failure.

    Raises:
        DeploymentFailed: it was rolled back, or could not be; the message says why, and what answers now.
    """
    if ended.outcome not in ("rolled back", "stuck"):
        return ended
    promoted = ended.promoted
    times = f", {ended.objections} probes in a row" if ended.objections else ""
    raise DeploymentFailed(
        f"Deployment {promoted.deployment_id} of model {promoted.model_id} failed in {promoted.environment}{times}: "
        f"{ended.reason.rstrip('.')}.",
        hint=f"The former one, {ended.answers}, answers again."
        if ended.outcome == "rolled back"
        else f"Nothing could be put back: it still answers. Look at {promoted.environment} now.",
        model_id=promoted.model_id,
        deployment_id=promoted.deployment_id,
    )


def _rolled_back(record: Probation, limits: Limits) -> Flow[Probation]:
    try:
        back = yield from roll_back(record.promoted, limits=limits)
    except TrussTrainError as error:
        about = f"environment {record.promoted.environment!r}"
        yield from emit(Notice(about=about, text=f"was not put back: {error}"))
        return record.model_copy(update={"outcome": "stuck"})
    return record.model_copy(update={"outcome": "rolled back", "answers": back.deployment_id})


def _tell(promoted: Promoted, objections: int, reason: str) -> Flow[None]:
    yield from emit(
        DeploymentProbed(
            model_id=promoted.model_id,
            environment=promoted.environment,
            deployment_id=promoted.deployment_id,
            objections=objections,
            reason=reason,
        )
    )
