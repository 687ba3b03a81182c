"""The pipelines for spot capacity and for several nodes, with what befalls such trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from dag_runs import QUICK, Ended, jobs_named, run

from truss_train_core import Client
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[3] / "dags" / "airflow"


@pytest.fixture
def spot() -> DAG:
    return _dag("spot")


def _dag(name: str) -> DAG:
    bag = DagBag(FOLDER / f"{name}.py")
    assert not bag.import_errors
    return bag.dags[name]


def _conf(**conf: Any) -> dict[str, Any]:
    return {"config": str(QUICK), **conf}


def _endings(ended: Ended) -> list[str]:
    return [attempt["ended"] for attempt in ended.xcom("train", key="report")["attempts"]]


def test_three_preemptions_are_resumed_and_reported_with_what_they_cost(
    spot: DAG, platform: LocalPlatform, client: Client
) -> None:
    with platform.reclaiming("quick", 3) as taken:
        ended = run(spot, run_conf=_conf(variables={"TAKEN_AWAY": "3"}))
    record = ended.xcom("train")
    jobs = jobs_named(client, record["key"])
    assert [job.id for job in jobs[:3]] == taken
    assert _endings(ended) == ["preempted"] * 3 + ["completed"]
    report = ended.xcom("train", key="report")
    assert [attempt["started_from"] for attempt in report["attempts"]] == [
        None, "checkpoint-1", "checkpoint-2", "checkpoint-3",
    ]  # fmt: skip
    assert all(attempt["cost"] > 0 for attempt in report["attempts"])
    assert all(attempt["lost"] > 0 for attempt in report["attempts"][:3])
    assert ended.xcom("choose")["checkpoint"]["checkpoint_id"] == "checkpoint-3"


def test_near_the_deadline_it_trains_on_dedicated_capacity(spot: DAG, client: Client) -> None:
    ended = run(spot, run_conf=_conf(hours=2, hours_undisturbed=3))
    (job,) = jobs_named(client, ended.xcom("train")["key"])
    assert job.availability_model == "dedicated"
    (attempt,) = ended.xcom("train", key="report")["attempts"]
    assert attempt["capacity"] == "dedicated"


@pytest.mark.parametrize(
    ("limit", "said"),
    [({"max_cost": 5, "spot_price": 3600}, "of 5.00 that may be spent"), ({"hours": 20 / 3600}, "has passed")],
)
def test_a_job_that_costs_too_much_or_is_late_is_stopped(
    spot: DAG, client: Client, capfd: pytest.CaptureFixture[str], limit: dict[str, float], said: str
) -> None:
    conf = _conf(variables={"TAKEN_AWAY": "1"}, hours_undisturbed=0, **limit)
    ended = run(spot, run_conf=conf, fails=True)
    (job,) = jobs_named(client, ended.key("train"))
    assert job.current_status == "TRAINING_JOB_STOPPED"
    assert said in capfd.readouterr().out
    assert _endings(ended) == ["stopped"]


def test_two_nodes_are_preempted_and_each_goes_on_from_its_shard(platform: LocalPlatform, client: Client) -> None:
    variables = {"EPOCHS": "12", "STEPS_PER_EPOCH": "1500"}
    with platform.reclaiming("two-nodes", 1) as taken:
        ended = run(_dag("multi_node"), run_conf={"variables": variables})
    record = ended.xcom("train")
    first, second = jobs_named(client, record["key"], project="two-nodes")
    assert taken == [first.id]
    assert second.node_count == 2
    assert _endings(ended) == ["preempted", "completed"]
    assert ended.xcom("choose")["metric"] == "eval_loss"
