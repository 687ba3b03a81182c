"""What a run measured is read through the API, over all its attempts."""

from __future__ import annotations

from pathlib import Path

import pytest

from truss_train_core import Client, RunPlan, curves, load_training_project, runs
from truss_train_core.testing import LocalPlatform

QUICK = Path(__file__).parents[1] / "cli" / "quick"

pytestmark = pytest.mark.slow


def test_a_run_that_broke_off_has_one_curve(tmp_path: Path) -> None:
    project = load_training_project(QUICK / "config.py")
    variables = {"FAIL_ONCE_AT": "4", "STEP_SECONDS": "0.1"}
    runtime = project.job.runtime.model_copy(update={"environment_variables": variables})
    project = project.model_copy(update={"job": project.job.model_copy(update={"runtime": runtime})})
    plan = RunPlan(project=project, source_dir=QUICK)
    with LocalPlatform.started(tmp_path) as platform, Client(platform.remote) as client:
        record = client.run(runs.run(plan, runs.new_record(plan, runs.run_key("curve"))))
        jobs = client.run(runs.jobs_of(record))
        attempts = client.run(curves.measured(record, jobs))
        state = client.run(curves.newest_state(jobs[0]))

    assert [(attempt.job_id, attempt.start) for attempt in attempts] == [(jobs[0].id, None), (jobs[1].id, 3)]
    assert curves.joined(attempts)["eval_loss"].counted == {1: 2.5, 2: 1.5, 3: 0.5, 4: 1.5, 5: 2.5}
    assert state
    assert state.global_step == 3
