"""What a try of a promotion leaves to the next: with a platform that is made up, and task state in a dictionary."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_truss_train.operators import PromoteDeploymentOperator
from truss_train_core import Flow, deployments
from truss_train_core.deployments import Promoted

RETRIES = 2
NEW = {"model_id": "m", "deployment_id": "new"}


class Store(dict[str, Any]):
    """As much of Airflow's task state as is used."""

    set = dict.__setitem__


class Killed(Exception):
    """The worker died."""


class Promotions:
    """What tries ask of the platform, and which of the calls they die in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.dies_in = ""
        self.ti = SimpleNamespace(max_tries=RETRIES)
        self.store = Store()
        monkeypatch.setattr(deployments, "get", self._get)
        monkeypatch.setattr(deployments, "intend_promotion", self._intend)
        monkeypatch.setattr(deployments, "begin_promotion", self._begin)

    def attempt(self, deployment: dict[str, str] = NEW) -> Promoted:
        """A try, until it would wait."""
        operator = PromoteDeploymentOperator(task_id="promote", deployment=deployment, retries=RETRIES)
        context: Any = {"ti": self.ti, "task_state_store": self.store}
        client: Any = SimpleNamespace(run=lambda flow, on_event=None: _returned(flow))
        return operator._begin(client, context)

    def _get(self, model_id: str, deployment_id: str) -> Flow[Any]:
        return SimpleNamespace(model_id=model_id, id=deployment_id)
        yield

    def _intend(self, deployment: Any, environment: str, *, gates: Any) -> Flow[Promoted]:
        self._ask("intend")
        return Promoted(model_id="m", environment=environment, deployment_id=deployment.id, former_id="former")
        yield

    def _begin(self, intended: Promoted) -> Flow[Promoted]:
        self._ask("begin")
        return intended
        yield

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.dies_in == what:
            self.dies_in = ""
            raise Killed


def _returned(flow: Flow[Any]) -> Any:
    try:
        next(flow)
    except StopIteration as end:
        return end.value
    raise AssertionError("nothing is asked of a platform here")


@pytest.fixture
def promotions(monkeypatch: pytest.MonkeyPatch) -> Promotions:
    return Promotions(monkeypatch)


def test_a_retry_takes_up_the_promotion_that_was_begun(promotions: Promotions) -> None:
    begun = promotions.attempt()
    assert promotions.attempt() == begun
    assert promotions.asked == ["intend", "begin"]


def test_a_try_that_died_while_it_asked_for_the_promotion_leaves_what_is_to_be_put_back(promotions: Promotions) -> None:
    promotions.dies_in = "begin"
    with pytest.raises(Killed):
        promotions.attempt()
    assert promotions.attempt().former_id == "former"
    assert promotions.asked == ["intend", "begin", "begin"]  # which asks for nothing twice, as its own tests show


def test_a_task_that_was_cleared_looks_anew(promotions: Promotions) -> None:
    promotions.attempt()
    promotions.ti.max_tries += 1
    promotions.attempt()
    assert promotions.asked == ["intend", "begin"] * 2


def test_another_deployment_is_another_promotion(promotions: Promotions) -> None:
    promotions.attempt()
    assert promotions.attempt({**NEW, "deployment_id": "newer"}).deployment_id == "newer"
    assert promotions.asked == ["intend", "begin"] * 2
