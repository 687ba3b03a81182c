"""Promote a deployment, and put the former one back if the new one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_truss_train.airflow_side import fail_at_once, teller, tries_before
from airflow_provider_truss_train.links import ModelLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from truss_train_core import Client
    from truss_train_core.deployments import Promoted

STATE_KEY = "truss_train_promotion"


class PromoteDeploymentOperator(BasetenOperator):
    """Lets a deployment answer in an environment, once it has answered a question as expected.

    If it fails there, the former one is put back, and the task fails at once: another try would put what failed into
    service again. Promoting what answers there already changes nothing. Whoever comes after a process that died finds
    the promotion that was begun, and knows what to put back.

    Returns `model_id`, `environment`, `deployment_id` and `former_id`, which is None where nothing answered before.

    Args:
        deployment: what `DeployCheckpointOperator` returned, or any mapping with `model_id` and `deployment_id`
            (templated).
        environment: "production", or one that was created (templated).
        question: the gate: what the deployment has to answer before anything changes, as JSON (templated); None for
            nothing.
        expected: tells of the parsed answer whether it will do; None for any answer.
        question_path: where to ask: "predict", or "sync/…" for a path of the model server itself.
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
        question: Mapping[str, Any] | None = None,
        expected: Callable[[Any], bool] | None = None,
        question_path: str = "predict",
        promotion_timeout: float = 3600.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", fail_at_once("DeploymentFailed"))
        super().__init__(**kwargs)
        if expected and question is None:
            raise ValueError("expected is about the answer to a question, and there is none")
        self.deployment = deployment
        self.environment = environment
        self.question = question
        self.expected = expected
        self.question_path = question_path
        self.promotion_timeout = promotion_timeout
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        from truss_train_core import Limits, deployments

        with self.hook.client() as client:
            promoted = self._begin(client, context)
            self.pages[ModelLink.name] = self.hook.remote.model_page(promoted.model_id, promoted.deployment_id)
            if promoted.is_no_change:
                self.log.info("Deployment %s answers in %s already.", promoted.deployment_id, promoted.environment)
                return promoted.model_dump(mode="json")
            if self.deferrable:
                self._defer(promoted)
            finish = deployments.finish_promotion(promoted, limits=Limits(timeout=self.promotion_timeout))
            return client.run(finish, on_event=teller(self.log)).model_dump(mode="json")

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after the triggerer has waited: with its error, or with what answers now."""
        from airflow_provider_truss_train.triggers import error_of

        if error := error_of(event):
            raise error
        promoted: dict[str, Any] = event["returned"]
        self.pages[ModelLink.name] = self.hook.remote.model_page(promoted["model_id"], promoted["deployment_id"])
        return promoted

    def _begin(self, client: Client, context: Context) -> Promoted:
        """Ask the gate and begin the promotion, or take up what an earlier try has left of these two."""
        from truss_train_core import deployments, gates

        left = _Left(context, self.retries or 0, (self.deployment["deployment_id"], self.environment))
        intended, begun = left.read()
        tell = teller(self.log)
        if intended is None:
            ids = self.deployment["model_id"], self.deployment["deployment_id"]
            deployment = client.run(deployments.get(*ids))
            wanted = []
            if self.question is not None:
                wanted.append(gates.answers(self.question, self.expected, path=self.question_path))
            intended = client.run(
                deployments.intend_promotion(deployment, self.environment, gates=wanted), on_event=tell
            )
            left.keep(intended, begun=False)
        if begun or intended.is_no_change:
            return intended
        promoted = client.run(deployments.begin_promotion(intended), on_event=tell)
        left.keep(promoted, begun=True)
        return promoted

    def _defer(self, promoted: Promoted) -> None:
        from airflow_provider_truss_train.triggers import PromotionTrigger

        self.defer(
            trigger=PromotionTrigger(
                baseten_conn_id=self.baseten_conn_id,
                promoted=promoted.model_dump(mode="json"),
                timeout=self.promotion_timeout,
                ends_task=self.do_xcom_push and not self.outlets,
            ),
            method_name="execute_complete",
        )


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
