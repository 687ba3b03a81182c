"""What the tab "Training run" shows of a task, with and without the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dag_runs import QUICK, Ended, dag, run

from airflow_provider_truss_train.operators import ChooseCheckpointOperator, TrainingJobOperator
from airflow_provider_truss_train.run_page import reading
from airflow_provider_truss_train.run_page.reading import Shown, TaskId, shown
from truss_train_core import Retry
from truss_train_core.testing import LocalPlatform


@pytest.fixture(scope="module")
def of_task(platform: LocalPlatform) -> Callable[[str], Shown | None]:
    """What the page shows of a task of a run that broke off once and whose best checkpoint was chosen."""
    ended: list[Ended] = []

    def build() -> Any:
        variables = {"STEP_SECONDS": "0.1", "FAIL_ONCE_AT": "4"}
        train = TrainingJobOperator(task_id="train", config=QUICK, environment_variables=variables, price=3600)
        ChooseCheckpointOperator(task_id="choose", run=train.output, metric="eval_loss", mode="min")

    def look(task_id: str) -> Shown | None:
        if not ended:  # once for all tests, and within the first, which has the connection
            ended.append(run(dag(build, name="shown")))
        return shown(TaskId(ended[0].dag_id, ended[0].run_id, task_id, -1))

    return look


@pytest.mark.slow
def test_a_run_is_shown_with_all_its_attempts(platform: LocalPlatform, of_task: Callable[[str], Shown | None]) -> None:
    page = of_task("train")

    assert page
    assert page.problem is None
    assert [(row.number, row.status, row.started_from) for row in page.attempts] == [
        (1, "failed", "the start"),
        (2, "completed", "checkpoint-3"),
    ]
    for took in (page.took, *(row.took for row in page.attempts)):
        assert {"queued", "ran", "lost"} <= set(took)
        assert float(took["cost"]) > 0
    assert [(row.name, row.attempt, row.chosen) for row in page.checkpoints] == [
        ("checkpoint-1", 1, False),
        ("checkpoint-2", 1, False),
        ("checkpoint-3", 1, True),
        ("checkpoint-4", 2, False),
        ("checkpoint-5", 2, False),
    ]
    assert (page.metrics, page.checkpoints[2].values) == (["eval_loss"], (0.5,))
    assert page.picture
    assert "attempt 2" in page.picture
    assert "chosen: 3" in page.picture


def test_without_the_api_the_page_shows_what_the_task_has_kept(
    platform: LocalPlatform, of_task: Callable[[str], Shown | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_task("train")
    monkeypatch.setattr(reading, "PATIENCE", Retry(deadline=0))
    monkeypatch.setenv("AIRFLOW_CONN_BASETEN_DEFAULT", "baseten://:secret@127.0.0.1:9")
    away = of_task("train")
    monkeypatch.delenv("AIRFLOW_CONN_BASETEN_DEFAULT")
    unknown = of_task("train")

    for page, words in ((away, "only what the task has kept"), (unknown, "knows no connection “baseten_default”")):
        assert page
        assert words in (page.problem or "")
        assert "secret" not in (page.problem or "")
        assert [row.status for row in page.attempts] == ["failed", "completed"]
        assert page.checkpoints == ()


def test_a_task_of_another_kind_has_no_run(platform: LocalPlatform, of_task: Callable[[str], Shown | None]) -> None:
    assert of_task("choose") is None
