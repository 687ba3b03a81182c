"""The sweep that people copy, on a real Airflow: no more trials at once than it says, and its tab in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from browsing import PATIENCE, NoChromium, chromium, signed_in
from playwright.sync_api import expect
from standalone import Run, Standalone

from truss_train_core import Client
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.jobs import TrainingJob, find_project, run_key
from truss_train_core.testing import LocalPlatform

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
TRIALS = ROOT / "tests" / "sweeps" / "trials" / "config.py"
AT_ONCE = 4  # as dags/airflow/sweep.py has it
SPACE = {"BEHAVIOUR": ["better", "poor"], "SEED": [1, 2, 3]}
LOOK_INTERVAL = 0.2


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, platform: LocalPlatform) -> Iterator[Standalone]:
    home, dags = tmp_path_factory.mktemp("standalone"), ROOT / "dags" / "airflow"
    settings = {"RETRAIN_AT": "", "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300"}  # nothing is killed
    with Standalone.started(home, platform.remote, dags, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def most(airflow: Standalone) -> dict[Run, int]:
    """A sweep of six trials that has ended, and how many of them were under way at most, as looks at it have it."""
    run = airflow.start("sweep", config=str(TRIALS), space=SPACE, samples=0, first_rung=1)
    under_way = 0
    while run.state not in ("success", "failed"):
        states = [each["state"] for each in run.tasks() if each["task_id"] == "train"]
        under_way = max(under_way, sum(state in ("running", "deferred") for state in states))
        time.sleep(LOOK_INTERVAL)
    assert run.state == "success", [(each["task_id"], each["map_index"], each["state"]) for each in run.tasks()]
    return {run: under_way}


def test_no_more_trials_train_at_once_than_the_pipeline_says(most: dict[Run, int], client: Client) -> None:
    ((run, under_way),) = most.items()
    assert under_way == AT_ONCE
    jobs = trained(client, run)
    assert len(jobs) == len(SPACE["BEHAVIOUR"]) * len(SPACE["SEED"])
    together = [sum(other.created_at <= job.created_at < other.updated_at for other in jobs) for job in jobs]
    assert 1 < max(together) <= AT_ONCE


def trained(client: Client, run: Run) -> list[TrainingJob]:
    """The jobs of all trials of a run."""
    listed = client.send(endpoints.list_jobs(client.run(find_project("trials")).id)).training_jobs
    return [job for job in listed if f"-s{run_key(run.dag_id, run.run_id)}-" in (job.name or "")]


def test_the_choice_shows_a_table_and_a_curve_for_each_trial(airflow: Standalone, most: dict[Run, int]) -> None:
    (run,) = most
    try:
        with chromium() as browser, signed_in(browser, airflow.api, color_scheme="light") as window:
            expect.set_options(timeout=PATIENCE)
            page = window.new_page()
            page.goto(f"/dags/sweep/runs/{quote(run.run_id, safe='')}/tasks/best")
            page.get_by_role("link", name="Training run").click()
            shown = page.frame_locator("iframe[title='Training run']")
            expect(shown.get_by_role("img", name="eval_loss by epoch, for each trial")).to_be_visible()
            expect(shown.locator("svg .trial.chosen")).to_have_count(1)
            expect(shown.locator("svg polyline.trial")).to_have_count(6)
            rows = shown.locator("tbody tr")
            expect(rows).to_have_count(6)
            expect(rows.filter(has_text="★")).to_have_count(1)  # of equals, the one whose checkpoint was first
            expect(rows.filter(has_text="★")).to_contain_text("better")
            expect(rows.first).to_contain_text("better")
            expect(rows.last).to_contain_text("stopped early")
    except NoChromium as error:
        pytest.skip(str(error))
