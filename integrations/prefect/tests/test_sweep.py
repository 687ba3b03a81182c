"""The sweep that people copy, with the faults that it is for: a trial that fails, one of NaN, and a poor one."""

from __future__ import annotations

from pathlib import Path

import pytest
from looking import artifacts_of, jobs_of_flow_run
from pipelines import pipeline

from prefect_truss_train import BasetenCredentials
from truss_train_core import Client
from truss_train_core.testing import LocalPlatform

TRIALS = str(Path(__file__).parents[3] / "tests" / "sweeps" / "trials" / "config.py")


@pytest.fixture(autouse=True)
def baseten(platform: LocalPlatform) -> None:
    """The block by the name that the pipeline uses."""
    BasetenCredentials(api_key=platform.remote.key, url=platform.remote.web_url).save("baseten", overwrite=True)


@pytest.mark.slow
def test_a_sweep_survives_its_faults_and_deploys_the_best_of_all(client: Client) -> None:
    space = {"BEHAVIOUR": ["poor", "nan", "fails", "better"]}
    state = pipeline("sweep").sweep(TRIALS, space, samples=0, first_rung=1, return_state=True)

    assert state.is_completed(), state
    statuses = {
        (job.name or "").split("-t")[1][0]: job.current_status.removeprefix("TRAINING_JOB_")
        for job in jobs_of_flow_run(client, state.state_details.flow_run_id)
    }
    assert statuses == {"1": "STOPPED", "2": "STOPPED", "3": "FAILED", "4": "COMPLETED"}
    page = str(artifacts_of(state.state_details.flow_run_id)["sweep"].data)
    assert "★ checkpoint-3 of trial 4 of 4 (BEHAVIOUR=better): eval_loss" in page
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")][2:]
    assert rows[0][:2] == ["★ 4", "better"]
    assert {row[1]: row[4] for row in rows} == {
        "better": "completed",
        "poor": "stopped early",
        "nan": "stopped early",
        "fails": "failed",
    }
    assert {row[1]: row[-1] for row in rows}["nan"] == "eval_loss is nan since epoch 1"
    assert "](data:image/svg+xml;base64," in page


@pytest.mark.slow
def test_a_sweep_without_a_good_trial_deploys_nothing(client: Client) -> None:
    state = pipeline("sweep").sweep(TRIALS, {"BEHAVIOUR": ["fails"]}, samples=0, return_state=True)
    assert state.is_failed()
    assert "None of 1 trials has a checkpoint to choose" in (state.message or "")
    assert "Nothing was chosen" in str(artifacts_of(state.state_details.flow_run_id)["sweep"].data)
