"""Hyperparameters: how typed values reach a job, and what is refused before anything is created."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from truss_train_core import package
from truss_train_core.definitions import Image, Runtime, SecretReference, TrainingJob, TrainingProject
from truss_train_core.errors import DefinitionError
from truss_train_core.package import archive_size
from truss_train_core.pushing import prepare, preview


@pytest.fixture
def project() -> TrainingProject:
    variables = {"EPOCHS": "20", "HF_TOKEN": SecretReference(name="hf")}
    job = TrainingJob(image=Image(base_image="python:3.12"), runtime=Runtime(environment_variables=variables))
    return TrainingProject(name="digits", job=job)


def test_values_arrive_as_json_writes_them_over_those_of_the_definition(project: TrainingProject) -> None:
    made = project.with_parameters({"LEARNING_RATE": 1e-05, "EPOCHS": 5, "AMP": True, "OPTIMIZER": "adam", "NONE": ""})
    assert made.job.runtime.environment_variables == {
        "EPOCHS": "5",
        "HF_TOKEN": SecretReference(name="hf"),
        "LEARNING_RATE": "1e-05",
        "AMP": "true",
        "OPTIMIZER": "adam",
        "NONE": "",
    }
    assert project.job.runtime.environment_variables["EPOCHS"] == "20"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"HF_TOKEN": "hf_123"}, "would replace the secret that the definition names for HF_TOKEN"),
        ({"LEARNING-RATE": 0.1}, "'LEARNING-RATE' cannot be the name of an environment variable"),
        ({"": 1}, "'' cannot be the name"),
        ({"8BIT": 1}, "'8BIT' cannot be the name"),
        ({1: 1}, "1 cannot be the name"),
        ({"LAYERS": [1, 2]}, "Parameter LAYERS is a list; .* go into runtime_config"),
        ({"SEED": None}, "Parameter SEED is a NoneType"),
        ({"RATE": float("nan")}, "Parameter RATE is nan"),
        ({"TOKEN": SecretReference(name="hf")}, "Parameter TOKEN is a SecretReference"),
    ],
)
def test_what_cannot_be_a_variable_is_refused(project: TrainingProject, parameters: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as caught:
        project.with_parameters(parameters)
    assert "hf_123" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model": {"rates": [0.1, float("inf")]}}, r"runtime_config\.model\.rates\[1\] is inf"),
        ({"token": SecretReference(name="hf")}, r"runtime_config\.token is a SecretReference"),
        ({1: 2}, "names are strings"),
    ],
)
def test_what_json_has_no_form_for_is_refused(project: TrainingProject, config: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        project.with_parameters(runtime_config=config)


def test_parameters_of_a_file_travel_beside_the_config_file_and_nothing_is_written(
    project: TrainingProject, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "train.py").write_text("pass")
    (tmp_path / "work" / "runtime_config.json").write_text('{"rate": 1}')
    (tmp_path / "work" / ".truss_ignore").write_text("*.json")
    trials = [project.with_parameters(runtime_config={"rate": rate, "layers": [64, 64]}) for rate in (0.1, 0.2)]
    packages = [prepare(trial, tmp_path / "work") for trial in trials]  # both looked at before either is read
    for packed, rate in zip(packages, (0.1, 0.2), strict=True):
        content = b"".join(package.archive(packed))
        assert len(content) == archive_size(packed)
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            assert tar.getnames() == [".truss_ignore", "runtime_config.json", "train.py"]
            file = tar.extractfile("runtime_config.json")
            assert file
            assert json.load(file) == {"rate": rate, "layers": [64, 64]}
    assert (tmp_path / "work" / "runtime_config.json").read_text() == '{"rate": 1}'


def test_with_a_workspace_the_file_lies_beside_the_config_file_too(project: TrainingProject, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    project = project.model_copy(
        update={"job": TrainingJob(image=Image(base_image="i"), workspace={"workspace_root": ".."})}
    ).with_parameters(runtime_config={"rate": 1})
    assert [file.arcname for file in prepare(project, tmp_path / "train").files] == ["train/runtime_config.json"]


def test_the_api_is_not_sent_what_is_a_file(project: TrainingProject, tmp_path: Path) -> None:
    sent = preview(project.with_parameters(runtime_config={"rate": 1}), source_dir=tmp_path)
    assert sent["training_project"] == {"name": "digits"}
    assert "runtime_config" not in sent["training_job"]
    assert [file["path"] for file in sent["files"]] == ["runtime_config.json"]


def test_a_definition_with_parameters_survives_being_stored(project: TrainingProject) -> None:
    made = project.with_parameters({"EPOCHS": 5}, runtime_config={"layers": [1]})
    assert TrainingProject.model_validate_json(made.model_dump_json()) == made
