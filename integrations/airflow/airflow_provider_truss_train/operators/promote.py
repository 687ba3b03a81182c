"""Promote a deployment, and put the former one back if the new one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow_provider_truss_train.airflow_side import fail_at_once, teller, tries_before
from airflow_provider_truss_train.links import ModelLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core import Client, Flow
    from truss_train_core.deployments import Gate, Promoted
    from truss_train_core.errors import PromotionRefused
    from truss_train_core.lineage import Thing

STATE_KEY = "truss_train_promotion"
WhenRefused = Literal["fail", "skip"]


class PromoteDeploymentOperator(BasetenOperator):
    """Lets a deployment answer in an environment, once every gate lets it pass.

    If it fails there, the former one is put back, and the task fails at once: another try would put what failed into
    service again. Promoting what answers there already changes nothing. Whoever comes after a process that died finds
    the promotion that was begun, and knows what to put back.

    Returns `model_id`, `environment`, `deployment_id`, `former_id`, which is None where nothing answered before, and
    the `reason` that the gates gave. A task that is skipped returns `refused_id` in place of `former_id`, and
    `deployment_id` is what is kept.

    Args:
        deployment: what `DeployCheckpointOperator` returned, or any mapping with `model_id` and `deployment_id`
            (templated).
        environment: "production", or one that was created (templated).
        gates: what it has to pass before anything changes: gates of `truss_train_core.gates`, or a function of the
            task's context that makes them.
        question: a gate before these: what the deployment has to answer, as JSON (templated); None for nothing.
        expected: tells of the parsed answer whether it will do; None for any answer.
        question_path: where to ask: "predict", or "sync/…" for a path of the model server itself.
        when_refused: what becomes of the task where a gate refuses: "fail", or "skip", and with it what comes after it.
            Then the refused deployment is let go, and what answered answers on.
        promotion_timeout: seconds that the environment may take to answer with it.
        baseten_conn_id: id of the connection.
        deferrable: whether to wait in the triggerer rather than on a worker.
    """

    template_fields: Sequence[str] = ("deployment", "environment", "question", "baseten_conn_id")
    operator_extra_links = (ModelLink(),)
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        deployment: Any,
        environment: str = "production",
        gates: Sequence[Gate] | Callable[[Context], Sequence[Gate]] = (),
        question: Mapping[str, Any] | None = None,
        expected: Callable[[Any], bool] | None = None,
        question_path: str = "predict",
        when_refused: WhenRefused = "fail",
        promotion_timeout: float = 3600.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", fail_at_once("DeploymentFailed"))
        super().__init__(**kwargs)
        if expected and question is None:
            raise ValueError("expected is about the answer to a question, and there is none")
        if when_refused not in ("fail", "skip"):
            raise ValueError(f"when_refused is 'fail' or 'skip', not {when_refused!r}")
        self.deployment = deployment
        self.environment = environment
        self.gates = gates
        self.question = question
        self.expected = expected
        self.question_path = question_path
        self.when_refused = when_refused
        self.promotion_timeout = promotion_timeout
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        from truss_train_core import Limits, deployments
        from truss_train_core.errors import PromotionRefused

        with self.hook.client() as client:
            try:
                promoted = self._begin(client, context)
            except PromotionRefused as refusal:
                if self.when_refused == "fail":
                    raise
                self._skip(client, context, refusal)
            if promoted.is_no_change:
                self.log.info("Deployment %s answers in %s already.", promoted.deployment_id, promoted.environment)
                return self._end(client, promoted, context)
            if self.deferrable:
                self._defer(promoted)
            finish = deployments.finish_promotion(promoted, limits=Limits(timeout=self.promotion_timeout))
            return self._end(client, client.run(finish, on_event=teller(self.log)), context)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after the triggerer has waited: with its error, or with what answers now."""
        from airflow_provider_truss_train.triggers import error_of
        from truss_train_core.deployments import Promoted

        if error := error_of(event):
            raise error
        with self.hook.client() as client:
            return self._end(client, Promoted.model_validate(event["returned"]), context)

    def _begin(self, client: Client, context: Context) -> Promoted:
        """Ask the gates and begin the promotion, or take up what an earlier try has left of these two."""
        from truss_train_core import deployments

        left = _Left(context, self.retries or 0, (self.deployment["deployment_id"], self.environment))
        intended, begun = left.read()
        tell = teller(self.log)
        if intended is None:
            deployment = client.run(deployments.get(*self._ids()))
            intend = deployments.intend_promotion(deployment, self.environment, gates=self._gates(context))
            intended = client.run(intend, on_event=tell)
            left.keep(intended, begun=False)
        if begun or intended.is_no_change:
            return intended
        promoted = client.run(deployments.begin_promotion(intended), on_event=tell)
        left.keep(promoted, begun=True)
        return promoted

    def _ids(self) -> tuple[str, str]:
        return self.deployment["model_id"], self.deployment["deployment_id"]

    def _gates(self, context: Context) -> list[Gate]:
        from truss_train_core import gates

        wanted = list(self.gates(context) if callable(self.gates) else self.gates)
        if self.question is not None:
            wanted.insert(0, gates.answers(self.question, self.expected, path=self.question_path))
        return wanted

    def _end(self, client: Client, promoted: Promoted, context: Context) -> dict[str, Any]:
        """Show what answers now, and tell of it."""
        from truss_train_core import lineage

        ids = promoted.model_id, promoted.deployment_id
        self.pages[ModelLink.name] = self.hook.remote.model_page(*ids)
        self.used = client.run(_checkpoint_of(*ids))
        facts = promoted.model_dump(mode="json")
        origin = self.used[0].uri if self.used else None
        self.made = [lineage.model(promoted.model_id, **{**facts, "checkpoint": origin})]
        self._tell_outlets(context)
        return facts

    def _skip(self, client: Client, context: Context, refusal: PromotionRefused) -> NoReturn:
        """Let the refused deployment go, say what is kept and why, and skip what comes after."""
        from airflow.sdk.exceptions import AirflowSkipException

        from truss_train_core import deployments

        refused = client.run(deployments.get(*self._ids()))
        kept = client.run(deployments.keep(refused, self.environment, refusal), on_event=teller(self.log))
        self.pages[ModelLink.name] = self.hook.remote.model_page(kept.model_id, kept.deployment_id or kept.refused_id)
        context["ti"].xcom_push(key="return_value", value=kept.model_dump(mode="json"))
        raise AirflowSkipException(f"{self.environment} is kept as it is, because {kept.reason}")

    def _defer(self, promoted: Promoted) -> None:
        from airflow_provider_truss_train.triggers import PromotionTrigger

        self.defer(
            trigger=PromotionTrigger(
                baseten_conn_id=self.baseten_conn_id,
                promoted=promoted.model_dump(mode="json"),
                timeout=self.promotion_timeout,
                ends_task=self.do_xcom_push and not self._needs_worker_to_end(),
            ),
            method_name="execute_complete",
        )


def _checkpoint_of(model_id: str, deployment_id: str) -> Flow[list[Thing]]:
    """The checkpoint that a deployment serves, in lineage; empty where that is not one of a training job."""
    from truss_train_core import deployments, lineage
    from truss_train_core.errors import NoUsableCheckpoint

    deployment = yield from deployments.get(model_id, deployment_id)
    try:
        return [lineage.checkpoint(*(yield from deployments.checkpoint_of(deployment)))]
    except NoUsableCheckpoint:
        return []


class _Left:
    """What a try of the task leaves to the next: which promotion it intends, and whether that has begun.

    It holds for this deployment and environment, and until the task is cleared.
    """

    def __init__(self, context: Context, retries: int, of: tuple[str, str]) -> None:
        self._store: Any = context.get("task_state_store")
        self._of = [*of, tries_before(context["ti"], retries)]

    def read(self) -> tuple[Promoted | None, bool]:
        from truss_train_core.deployments import Promoted

        left = self._store.get(STATE_KEY) if self._store is not None else None
        if left is None or left["of"] != self._of:
            return None, False
        return Promoted.model_validate(left["promoted"]), left["begun"]

    def keep(self, promoted: Promoted, *, begun: bool) -> None:
        if self._store is not None:
            promotion = promoted.model_dump(mode="json")
            self._store.set(STATE_KEY, {"of": self._of, "promoted": promotion, "begun": begun})
