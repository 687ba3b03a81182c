"""From a search space to trials, and from a trial to the definition of its job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from truss_train_core import jobs
from truss_train_core.definitions import Image, Runtime, SecretReference, TrainingJob, TrainingProject
from truss_train_core.errors import DefinitionError
from truss_train_core.sweeps import Objective, Range, Trial, grid, sample
from truss_train_core.sweeps.trial import number_of

GOAL = Objective(metric="eval_loss", mode="min")
KEY = jobs.run_key("dag", "run")


def test_a_grid_has_every_combination_once() -> None:
    trials = grid({"RATE": [0.1, 0.2], "HIDDEN": [64, 128]}, GOAL, key=KEY)
    assert [trial.parameters for trial in trials] == [
        {"RATE": 0.1, "HIDDEN": 64},
        {"RATE": 0.1, "HIDDEN": 128},
        {"RATE": 0.2, "HIDDEN": 64},
        {"RATE": 0.2, "HIDDEN": 128},
    ]
    assert [(trial.number, trial.of) for trial in trials] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    space = {
        "RATE": {"low": 1e-4, "high": 0.1, "scale": "log"},
        "HIDDEN": Range(low=8, high=64),
        "ACT": ["relu", "gelu"],
    }
    first = sample(space, 20, GOAL, key=KEY, seed=7)
    assert sample(space, 20, GOAL, key=KEY, seed=7) == first
    assert sample(space, 20, GOAL, key=KEY, seed=8) != first
    rates: Any = [trial.parameters["RATE"] for trial in first]
    assert all(1e-4 <= rate <= 0.1 for rate in rates)
    assert sum(rate < 0.00316 for rate in rates) in range(4, 17)  # half of a log scale
    assert all(isinstance(trial.parameters["HIDDEN"], int) for trial in first)


def test_whole_numbers_on_a_log_scale_reach_both_ends() -> None:
    drawn = {trial.parameters["N"] for trial in sample({"N": Range(low=1, high=4, scale="log")}, 4, GOAL, key=KEY)}
    assert drawn == {1, 2, 3, 4}


def test_no_two_trials_of_a_sample_are_the_same() -> None:
    trials = sample({"A": [1, 2], "B": [True, False]}, 10, GOAL, key=KEY)
    assert len(trials) == len({str(trial.parameters) for trial in trials}) == 4
    assert {trial.of for trial in trials} == {4}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "The search space is empty"),
        ({"RATE": []}, "no value for RATE"),
        ({"RATE": 0.1}, "does not say what RATE"),
        ({"RATE": {"low": 1}}, "RATE"),
        ({"RATE": {"low": 0, "high": 1, "scale": "log"}}, "a log scale begins above 0"),
        ({"RATE": {"low": 2, "high": 1}}, "low must be less than high"),
        ({"RATE": Range(low=0, high=1)}, "RATE: a grid needs a list of values"),
    ],
)
def test_a_space_that_says_too_little_is_refused(space: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        grid(space, GOAL, key=KEY)


def test_a_sweep_without_trials_is_refused() -> None:
    with pytest.raises(DefinitionError, match="at least one trial, not 0"):
        sample({"A": [1]}, 0, GOAL, key=KEY)


def project(name: str | None = "digits") -> TrainingProject:
    runtime = Runtime(environment_variables={"TOKEN": SecretReference(name="hf"), "EPOCHS": "3"})
    return TrainingProject(name="digits", job=TrainingJob(name=name, image=Image(base_image="i"), runtime=runtime))


def test_the_job_of_a_trial_has_its_parameters_and_is_found_by_its_name() -> None:
    trial = grid({"RATE": [0.1, 0.2]}, GOAL, key=KEY)[1]
    made = trial.project(project("a name of more than twenty-four characters"))
    assert made.job.runtime.environment_variables["RATE"] == "0.2"
    assert made.job.name
    for key in (
        jobs.run_key("task"),
        jobs.run_key("flow") + jobs.run_key("inputs")[:6],
    ):  # as long as engines make them
        name = jobs.job_name(made.job.name, key, 12)
        assert number_of(name, KEY) == 2
        assert number_of(name, jobs.run_key("another")) is None


def test_parameters_can_be_a_file_that_the_config_file_reads(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        "import json, pathlib\n"
        "from truss_train import Image, TrainingJob, TrainingProject\n"
        "read = json.loads((pathlib.Path(__file__).parent / 'runtime_config.json').read_text())\n"
        "project = TrainingProject(name=read['name'], job=TrainingJob(image=Image(base_image='i')))\n"
    )
    (trial,) = grid({"name": ["small"], "layers": [[64, 64]]}, GOAL, key=KEY, delivery="runtime_config")
    made = trial.project(tmp_path / "config.py")
    assert (made.name, made.runtime_config) == ("small", {"name": "small", "layers": [64, 64]})
    assert trial.project(project()).runtime_config == {"name": "small", "layers": [64, 64]}


def test_a_parameter_in_the_place_of_a_secret_is_refused() -> None:
    (trial,) = grid({"TOKEN": ["plain"]}, GOAL, key=KEY)
    with pytest.raises(DefinitionError, match="would replace the secret"):
        trial.project(project())


def test_a_trial_is_plain_json() -> None:
    (trial,) = grid({"RATE": [0.1]}, GOAL, key=KEY)
    assert Trial.model_validate_json(trial.model_dump_json()) == trial
