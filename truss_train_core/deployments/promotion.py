"""Putting a deployment into service in an environment, and the former one back if the new one fails.

Gates are asked first, while the former still answers: a gate is a flow from the deployment, and the one that answers
now, to a verdict. A refusal is an error, `PromotionRefused`; or, for who takes it for an outcome, `promote_or_keep`.

`promote` is three flows in a row, for those who want to note in between where they are, so that whoever comes after
them knows what to put back and promotes nothing twice:

    intend_promotion    what answers now, and the gates; nothing changes
    begin_promotion     ask for it, unless somebody did
    finish_promotion    wait until it answers; or put the former back
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, send
from truss_train_core.api.models import Deployment, DeploymentStatus, Environment
from truss_train_core.deployments.deploying import deactivate, describe
from truss_train_core.deployments.serving import AN_HOUR, LOOK_INTERVAL, get, wait_until_serving
from truss_train_core.errors import DeploymentFailed, NotFound, PromotionRefused, TrussTrainError, WaitTimeout
from truss_train_core.events import DeploymentKept, DeploymentPromoted, Notice
from truss_train_core.once import MAYBE_CREATED
from truss_train_core.values import Value
from truss_train_core.waiting import Limits, wait_until

PRODUCTION = "production"


class Verdict(Value):
    """What a gate says of a deployment.

    Attributes:
        passes: whether it may answer.
        reason: why, or why not, in words and with the numbers.
    """

    passes: bool
    reason: str


Gate: TypeAlias = Callable[[Deployment, Deployment | None], Flow[Verdict]]
"""Given a deployment, and the one that answers where it is to answer, or None: whether it may, and why."""


class Promoted(Value):
    """What answers in an environment now, and what did before.

    Attributes:
        deployment_id: may differ from the one that was promoted, since a promotion may deploy anew (OpenAPI).
        former_id: None where nothing answered there; the same where it is what answered there already.
        reason: what the gates said for it.
    """

    model_id: str
    environment: str
    deployment_id: str
    former_id: str | None = None
    reason: str = ""

    @property
    def is_no_change(self) -> bool:
        """Whether the deployment answered there before."""
        return self.former_id == self.deployment_id


class Kept(Value):
    """A promotion that a gate refused: what answered in the environment answers on.

    Attributes:
        deployment_id: what answers; None where nothing does.
        refused_id: what was not promoted.
        reason: what the gate said against it.
    """

    model_id: str
    environment: str
    deployment_id: str | None
    refused_id: str
    reason: str


def promote(
    deployment: Deployment, environment: str = PRODUCTION, *, gates: Iterable[Gate] = (), limits: Limits = AN_HOUR
) -> Flow[Promoted]:
    """Let a deployment answer in an environment, once every gate lets it pass, and wait until it does.

    Promoting what answers there already changes nothing. If the new one fails, or does not serve within the limits,
    the former one is promoted again, and that is waited for as well.

    Args:
        deployment: which; it serves already.
        environment: "production", or one that was created.
        gates: asked in order; the first objection ends it.
        limits: how long to wait for the environment.

    Raises:
        PromotionRefused: a gate objected, and nothing has changed.
        DeploymentFailed: the new one failed, and the message says what answers now.
        ApiError, Unreachable, AnswerLost: looking or promoting was not possible; calling again is safe.
    """
    intended = yield from intend_promotion(deployment, environment, gates=gates)
    if intended.is_no_change:
        return intended
    return (yield from finish_promotion((yield from begin_promotion(intended)), limits=limits))


def promote_or_keep(
    deployment: Deployment, environment: str = PRODUCTION, *, gates: Iterable[Gate] = (), limits: Limits = AN_HOUR
) -> Flow[Promoted | Kept]:
    """As `promote`, for whom a refusal is an outcome: the refused deployment is let go, as `keep` does."""
    try:
        return (yield from promote(deployment, environment, gates=gates, limits=limits))
    except PromotionRefused as refusal:
        return (yield from keep(deployment, environment, refusal))


def keep(deployment: Deployment, environment: str, refusal: PromotionRefused) -> Flow[Kept]:
    """Keep what answers, after a gate refused a deployment: that serves no longer, unless it answers elsewhere.

    Raises:
        ApiError, Unreachable: looking or letting go was not possible; calling again is safe.
    """
    before = yield from _environment(deployment.model_id, environment)
    current = before.current_deployment if before else None
    refused = yield from get(deployment.model_id, deployment.id)
    if refused.environment is None and not refused.is_production:
        yield from deactivate(refused)
    kept = Kept(
        model_id=deployment.model_id,
        environment=environment,
        deployment_id=current.id if current else None,
        refused_id=deployment.id,
        reason=refusal.reason,
    )
    yield from emit(DeploymentKept(**kept.model_dump()))
    return kept


def intend_promotion(
    deployment: Deployment, environment: str = PRODUCTION, *, gates: Iterable[Gate] = ()
) -> Flow[Promoted]:
    """See what answers in the environment, and ask the gates unless that is the deployment; changes nothing.

    Raises:
        PromotionRefused: a gate objected.
        ApiError, Unreachable: looking was not possible.
    """
    before = yield from _environment(deployment.model_id, environment)
    former = before.current_deployment if before else None
    intended = Promoted(
        model_id=deployment.model_id,
        environment=environment,
        deployment_id=deployment.id,
        former_id=former.id if former else None,
    )
    if intended.is_no_change:
        return intended
    reasons = []
    for gate in gates:
        verdict = yield from gate(deployment, former)
        if not verdict.passes:
            raise _refused(deployment, environment, verdict)
        reasons.append(verdict.reason)
    return intended.model_copy(update={"reason": "; ".join(reasons)})


def begin_promotion(intended: Promoted) -> Flow[Promoted]:
    """Ask for the promotion, unless that has been done; returns what is to be waited for.

    Raises:
        ApiError, Unreachable, AnswerLost: calling again is safe.
    """
    now = yield from _environment(intended.model_id, intended.environment)
    answering = (now.current_deployment, now.candidate_deployment) if now else ()
    if any(each and each.id == intended.deployment_id for each in answering):
        return intended
    new_id = yield from _promote(intended, intended.former_id)
    return intended.model_copy(update={"deployment_id": new_id})


def finish_promotion(begun: Promoted, *, limits: Limits = AN_HOUR) -> Flow[Promoted]:
    """Wait until the environment answers with a deployment whose promotion has begun; put the former back if it fails.

    Raises:
        DeploymentFailed: the new one failed, and the message says what answers now.
        ApiError, Unreachable: an outage took longer than `limits.outage`. Nothing was put back; calling again is safe.
    """
    try:
        yield from _wait_for(begun, limits)
    except (DeploymentFailed, WaitTimeout) as error:
        now_answers = yield from _put_back(begun, limits)
        raise DeploymentFailed(
            f"Deployment {begun.deployment_id} of model {begun.model_id} failed in {begun.environment}: "
            f"{str(error).rstrip('.')}.",
            hint=now_answers,
            model_id=begun.model_id,
            deployment_id=begun.deployment_id,
        ) from error
    yield from _tell(begun)
    return begun


def roll_back(promoted: Promoted, *, limits: Limits = AN_HOUR) -> Flow[Promoted]:
    """Let the former deployment answer again; the returned value tells what was taken out of service.

    Raises:
        DeploymentFailed: there is no former deployment, or it does not serve any more.
        ApiError, Unreachable, AnswerLost: calling again is safe.
    """
    if promoted.former_id is None or promoted.is_no_change:
        raise DeploymentFailed(
            f"Nothing answered in {promoted.environment} of model {promoted.model_id} before "
            f"deployment {promoted.deployment_id}.",
            model_id=promoted.model_id,
            deployment_id=promoted.deployment_id,
        )
    former = yield from _at_rest_or_serving(promoted.model_id, promoted.former_id, limits)
    if former.is_dead:
        yield from send(endpoints.activate_deployment(former.model_id, former.id))
        former = yield from wait_until_serving(former, limits=limits)
    update = {"deployment_id": former.id, "former_id": promoted.deployment_id, "reason": ""}
    back = promoted.model_copy(update=update)
    back = back.model_copy(update={"deployment_id": (yield from _promote(back, None))})
    yield from _wait_for(back, limits)
    yield from _tell(back)
    return back


# ---------------------------------------------------------------- looking and waiting


def _environment(model_id: str, name: str) -> Flow[Environment | None]:
    try:
        return (yield from send(endpoints.get_environment(model_id, name)))
    except NotFound:
        if name == PRODUCTION:  # which is there from the first promotion on
            return None
        raise


def _at_rest_or_serving(model_id: str, deployment_id: str, limits: Limits) -> Flow[Deployment]:
    """A deployment once it is not being scaled down any more: until then, it can be neither promoted nor woken."""
    return (
        yield from wait_until(
            lambda deployment: deployment.status != DeploymentStatus.DEACTIVATING,
            lambda: send(endpoints.get_deployment(model_id, deployment_id)),
            pace=lambda _: LOOK_INTERVAL,
            limits=limits,
            overdue=lambda seconds: WaitTimeout(f"deployment {deployment_id} is DEACTIVATING after {seconds:.0f} s"),
        )
    )


def _promote(wanted: Promoted, former_id: str | None) -> Flow[str]:
    """The id of the deployment that is to answer. After a lost answer, what the environment says."""
    if wanted.environment == PRODUCTION:
        request = endpoints.promote_to_production(wanted.model_id, wanted.deployment_id)
    else:
        request = endpoints.promote_to_environment(wanted.model_id, wanted.environment, wanted.deployment_id)
    try:
        return (yield from send(request)).id
    except MAYBE_CREATED:
        after = yield from _environment(wanted.model_id, wanted.environment)
        coming = (after.candidate_deployment or after.current_deployment) if after else None
        if coming is None or coming.id == former_id:
            raise
        return coming.id


def _wait_for(promoted: Promoted, limits: Limits) -> Flow[Environment]:
    """Wait until the environment answers with the promoted deployment, and that serves."""

    def look() -> Flow[Environment]:
        environment = yield from send(endpoints.get_environment(promoted.model_id, promoted.environment))
        promotion = environment.in_progress_promotion
        if promotion and promotion.status == "FAILED":
            raise DeploymentFailed(f"the promotion failed: {promotion.error_message or 'no cause is given'}")
        for deployment in (environment.current_deployment, environment.candidate_deployment):
            if deployment and deployment.id == promoted.deployment_id and deployment.is_dead:
                raise DeploymentFailed(f"{describe(deployment)} is {deployment.status}")
        return environment

    def content(environment: Environment) -> bool:
        current = environment.current_deployment
        return current is not None and current.id == promoted.deployment_id and current.is_ready

    def overdue(seconds: float) -> WaitTimeout:
        return WaitTimeout(f"it does not serve in {promoted.environment} after {seconds:.0f} s")

    return (yield from wait_until(content, look, pace=lambda _: LOOK_INTERVAL, limits=limits, overdue=overdue))


def _put_back(promoted: Promoted, limits: Limits) -> Flow[str]:
    """Undo a promotion that failed; says what answers now."""
    try:
        back = yield from roll_back(promoted, limits=limits)
    except TrussTrainError as error:
        yield from emit(Notice(about=f"environment {promoted.environment!r}", text=f"was not put back: {error}"))
        return f"Putting the former one back failed too: {error} Look at {promoted.environment} now."
    return f"The former one, {back.deployment_id}, answers again."


def _tell(promoted: Promoted) -> Flow[None]:
    yield from emit(DeploymentPromoted(**promoted.model_dump()))


def _refused(deployment: Deployment, environment: str, verdict: Verdict) -> PromotionRefused:
    return PromotionRefused(
        f"{describe(deployment)} did not pass a gate: {verdict.reason.rstrip('.')}.",
        hint=f"{environment} is as it was.",
        model_id=deployment.model_id,
        deployment_id=deployment.id,
        status=deployment.status,
        reason=verdict.reason,
    )
