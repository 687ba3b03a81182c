"""Which jobs are attempts of one run, and how their curves become one."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from served_platform import Served

from truss_train_core.curves import Measured
from truss_train_core.jobs.names import attempt_of, job_name, run_key
from truss_train_core.local.pages import runs
from truss_train_core.local.pages.runs import charts
from truss_train_core.local.server.lifecycle import find_job


def measured(*steps: int, loss: float = 1.0) -> list[dict[str, float]]:
    return [{"step": float(step), "loss": loss} for step in steps]


def test_training_and_evaluation_share_a_chart_and_speed_is_not_drawn() -> None:
    record = {"step": 1.0, "loss": 1.0, "eval_loss": 2.0, "eval_accuracy": 0.5, "eval_runtime": 9.0, "epoch": 1.0}
    drawn = charts([Measured("a", 1, None, [record])])["charts"]

    assert [(chart["title"], [line["label"] for line in chart["lines"]]) for chart in drawn] == [
        ("loss", ["loss", "eval_loss"]),
        ("accuracy", ["eval_accuracy"]),
    ]


def test_a_long_history_is_thinned_and_rare_points_stay() -> None:
    records: list[dict[str, float]] = measured(*range(50_000))
    records += [{"step": float(step), "eval_loss": 1.0} for step in range(1, 50_000, 10_000)]
    (chart,) = charts([Measured("a", 1, None, records)])["charts"]

    assert len(chart["x"]) < 1100
    assert chart["x"][-1] == 49_999
    assert sum(value is not None for value in chart["lines"][1]["points"]) == 5


def test_what_is_not_a_number_is_left_out() -> None:
    records = [{"step": 1.0, "loss": math.nan}, {"step": 2.0, "loss": math.inf}, {"step": 3.0, "loss": 1.0}]

    json.dumps(charts([Measured("a", 1, None, records)]), allow_nan=False)


def test_a_name_tells_its_run_and_attempt() -> None:
    key = run_key("a", "run")

    assert attempt_of(job_name("digits", key, 12)) == (key, 12)
    assert attempt_of(job_name("digits", f"{key}abcdef", 1)) == (f"{key}abcdef", 1)
    for name in ("digits", "digits-1", f"digits-{key}", f"digits-{key}abc-1", f"digits-{key}-0", f"{key}-1"):
        assert attempt_of(name) is None


KEY = "0123456789"


def run_of(platform: Served, project_id: str, job_id: str) -> dict[int, str]:
    with platform.platform.database.reading() as session:
        run = runs.jobs_of_run(session, find_job(session, project_id, job_id))
        return {number: job.id for number, job in run.items()}


def test_attempts_are_found_by_the_key_in_their_names(platform: Served) -> None:
    project = platform.project()
    second, first, again, other = (
        platform.job(project, name=name)["id"]
        for name in (f"digits-{KEY}-2", f"digits-{KEY}-1", f"digits-{KEY}-2", "digits-aaaaaaaaaa-1")
    )

    assert run_of(platform, project, first) == {1: first, 2: second}
    assert run_of(platform, project, again) == {1: first, 2: again}  # recreated: the same name once more
    assert run_of(platform, project, other) == {1: other}
    platform.call("DELETE", f"/v1/training_projects/{project}/jobs/{first}")
    assert run_of(platform, project, second) == {2: second}


def load(job_id: str, name: str) -> dict[str, Any]:
    reference = {"typ": "baseten_named_checkpoint", "checkpoint_name": name, "job_id": job_id}
    return {"load_checkpoint_config": {"enabled": True, "checkpoints": [reference]}}


def test_a_job_without_a_key_goes_on_from_the_one_whose_checkpoint_it_loads(platform: Served) -> None:
    project = platform.project()
    first = platform.running_job(project)
    platform.store(project, first, "checkpoint-5")
    second = platform.job(project, runtime=load(first, "checkpoint-5"))["id"]

    assert run_of(platform, project, second) == {1: first, 2: second}
    assert run_of(platform, project, first) == {1: first}


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("trainer_state.json", {"global_step": 5, "log_history": measured(4, 5)}, [4, 5]),
        ("metrics.json", {"loss": 1.0}, [5]),
        ("trainer_state.json", "torn", []),
    ],
)
def test_what_was_measured_is_read_from_checkpoints(
    platform: Served, file: str, content: Any, expected: list[int]
) -> None:
    project = platform.project()
    job_id = platform.running_job(project)
    platform.store(project, job_id, "checkpoint-5")
    folder = platform.platform.data.checkpoints(project, job_id) / "rank-0" / "checkpoint-5"
    (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
    with platform.platform.database.reading() as session:
        source = runs.source_of(platform.platform.data, find_job(session, project, job_id))

    assert [record["step"] for record in runs.measured_by(source).records] == expected
