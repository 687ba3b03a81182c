"""Pushing: checked before anything is created, sent in the current client's order, served in every documented form."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from world import World

from truss_train_core import package, pushing
from truss_train_core.definitions import Image, TrainingJob, TrainingProject
from truss_train_core.errors import ConfigFileError, PackageError, UploadError
from truss_train_core.events import ArchiveUploading
from truss_train_core.remotes import Remote

CONFIG = """
from truss_train import definitions
project = definitions.TrainingProject(
    name="digits",
    job=definitions.TrainingJob(name="mlp", image=definitions.Image(base_image="python:3.12")),
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "train.py").write_text("print('hi')")
    return tmp_path


@pytest.fixture
def uploaded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(package, "upload", lambda packed, target, progress: seen.append((packed, target)))
    return seen


def project(name: str | None = "mlp") -> TrainingProject:
    return TrainingProject(name="digits", job=TrainingJob(name=name, image=Image(base_image="python:3.12")))


def test_a_push_goes_in_the_current_clients_order(folder: Path, uploaded: list[Any]) -> None:
    world = World()
    definition, source = pushing.read_config(folder / "config.py")
    submitted = world.run(pushing.push_flow(definition, source))
    assert world.calls == [
        "POST /v1/training_projects",
        "GET /v1/blobs/credentials/train",
        "POST /v1/training_projects/p1/jobs",
    ]
    ((packed, target),) = uploaded
    assert [file.arcname for file in packed.files] == ["config.py", "train.py"]
    assert (target.bucket, target.key, target.session_token) == ("bucket", "key-1.tgz", "t")
    assert submitted.job.name == "mlp"
    assert world.jobs[0].body["truss_user_env"]["python_version"]


def test_pushing_once_adopts_what_was_pushed(folder: Path, uploaded: list[Any]) -> None:
    world = World()
    first, second = (world.run(pushing.push_once_flow(project(), folder)) for _ in range(2))
    assert first.job.id == second.job.id
    assert len(uploaded) == 1


def test_a_broken_link_is_an_error_before_any_call(folder: Path) -> None:
    (folder / "data").symlink_to(folder / "nowhere")
    world = World()
    with pytest.raises(PackageError, match="data"):
        world.run(pushing.push_flow(project(), folder))
    assert not world.calls


def test_a_failed_upload_creates_no_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise UploadError("refused")

    monkeypatch.setattr(package, "upload", fail)
    world = World()
    with pytest.raises(UploadError):
        world.run(pushing.push_flow(project(), folder))
    assert not world.jobs


def test_how_far_an_upload_is_events_tell_where_it_takes_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(packed: package.Package, target: Any, progress: Any) -> None:
        for piece in package.archive(packed):
            progress(len(piece) - 1000)
            progress(1000)

    monkeypatch.setattr(package, "upload", upload)
    size = package.archive_size(package.prepare(folder))
    quick, slow = World(), World()
    quick.run(pushing.push_flow(project(), folder))
    monkeypatch.setattr(pushing, "TOLD_EVERY", 0.0)
    slow.run(pushing.push_once_flow(project(), folder))
    assert not quick.heard(ArchiveUploading)
    assert [(event.sent_bytes, event.size_bytes) for event in slow.heard(ArchiveUploading)] == [
        (size - 1000, size), (size, size)
    ]  # fmt: skip


def test_who_watches_an_upload_hears_no_events_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(package, "upload", lambda packed, target, progress: progress(5))
    monkeypatch.setattr(pushing, "TOLD_EVERY", 0.0)
    world = World()
    world.run(pushing.push_flow(project(), folder, progress=counted.append))
    assert counted == [5]
    assert not world.heard(ArchiveUploading)


def test_a_preview_is_what_a_push_sends_but_for_the_archives_address(folder: Path, uploaded: list[Any]) -> None:
    shown = pushing.preview(folder / "config.py")
    world = World()
    world.run(pushing.push_flow(*pushing.read_config(folder / "config.py")))
    sent = copy.deepcopy(world.jobs[0].body)
    sent["runtime"]["artifacts"] = []
    assert shown["training_job"] == sent
    assert shown["training_project"] == world.bodies[0]["training_project"]
    assert shown["files"] == [{"path": "config.py", "size_bytes": len(CONFIG)}, {"path": "train.py", "size_bytes": 11}]
    assert json.dumps(shown)


def test_the_result_serves_every_documented_form(folder: Path, uploaded: list[Any]) -> None:
    result = pushing.push_result(World().run(pushing.push_flow(project(), folder)))
    assert result["training_project"]["id"] == result["training_project"].id == result.training_project.id == "p1"
    assert result["training_job"]["id"] == result.training_job.id == result["id"] == result.id == "j1"
    assert result["current_status"] == "TRAINING_JOB_PENDING"
    assert result["training_project"]["name"] == "digits"
    assert json.loads(json.dumps(result)) == result
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result
    assert getattr(result, "nothing", None) is None
    with pytest.raises(AttributeError, match="nothing"):
        _ = result.nothing


@pytest.mark.parametrize("form", [str, Path])
def test_a_config_is_a_path_a_text_or_a_definition(folder: Path, form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    definition, source = pushing.read_config(form(folder / "config.py"))
    assert (definition, source) == (project(), folder)
    monkeypatch.chdir(folder)
    assert pushing.read_config(definition) == (definition, folder)
    assert pushing.read_config("config.py", "elsewhere") == (definition, folder / "elsewhere")
    with pytest.raises(ConfigFileError):
        pushing.read_config(form(folder / "missing.py"))


def test_the_remotes_team_is_used_where_the_definition_names_none() -> None:
    remote = Remote(name="r", api_url="https://a.b", web_url="https://a.b", key=SecretStr("k"), team="research")
    assert pushing.for_team(project(), remote).team_name == "research"
    named = project().model_copy(update={"team_name": "own"})
    assert pushing.for_team(named, remote).team_name == "own"
    assert pushing.for_team(project(), remote.model_copy(update={"team": None})).team_name is None
