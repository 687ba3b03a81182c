"""`truss-train sweep` on a real platform: a poor trial is stopped, the best is named, and nothing is done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Command

from truss_train_core import Client
from truss_train_core.api import endpoints  # what the platform has is asked of the platform
from truss_train_core.jobs import find_project
from truss_train_core.testing import LocalPlatform

TRIALS = Path(__file__).parent.parent / "sweeps" / "trials" / "config.py"
OBJECTIVE = ("--metric", "eval_loss", "--mode", "min")


@pytest.mark.slow
def test_a_sweep_names_the_best_and_is_taken_up_again(
    truss_train: Command, local: LocalPlatform, tmp_path: Path
) -> None:
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"BEHAVIOUR": ["better", "fails", "poor"]}))
    picture = tmp_path / "sweep.svg"
    options = (*OBJECTIVE, "--space", space, "--first-rung", "1", "--at-once", "2", "--name", "once")

    swept = truss_train("sweep", TRIALS, *options, "--picture", picture)
    assert swept.code == 0, swept
    first, *_, decision = swept.out.strip().splitlines()
    assert first.split() == ["TRIAL", "BEHAVIOUR", "EVAL_LOSS", "AT", "EPOCH", "STATE", "CHECKPOINT", "WHY"]
    assert decision.startswith("★ checkpoint-3 of trial 1 of 3 (BEHAVIOUR=better): eval_loss")
    assert "trial 2 of 3 (BEHAVIOUR=fails) ended: " in swept.err
    assert "failing, as asked" in swept.err
    assert "trial 3 of 3 (BEHAVIOUR=poor) ended: stopped early: eval_loss is 6" in swept.err
    assert "★ trial 1: BEHAVIOUR=better" in picture.read_text()

    before = jobs_of(local)
    again = truss_train("sweep", TRIALS, *options, "-o", "json")
    assert [each["state"] for each in json.loads(again.out)["outcomes"]] == ["completed", "failed", "stopped early"]
    assert jobs_of(local) == before


def jobs_of(platform: LocalPlatform) -> set[str]:
    with Client(platform.remote) as client:
        project = client.run(find_project("trials"))
        return {job.id for job in client.send(endpoints.list_jobs(project.id)).training_jobs}


def test_a_space_that_is_none_is_refused(truss_train: Command, tmp_path: Path) -> None:
    truss_train("sweep", TRIALS, *OBJECTIVE, "--space", '{"LR": 1').is_refusal("--space is not JSON")
    truss_train("sweep", TRIALS, *OBJECTIVE, "--space", tmp_path / "none.json").is_refusal("neither a JSON object nor")
    truss_train("sweep", TRIALS, *OBJECTIVE, "--space", '{"LR": []}').is_refusal("no value for LR")
    truss_train("sweep", TRIALS, *OBJECTIVE, "--space", '{"LR": {"low": 0, "high": 1}}').is_refusal(
        "LR: a grid needs a list"
    )
