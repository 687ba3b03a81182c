"""Projects to begin with: written by `init`, part of the wheel, and run by the platform as they are."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command_line import Command

from truss_train_core.testing import LocalPlatform

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_new_project_runs_as_it_is(truss_train: Command, local: LocalPlatform, elsewhere: Path) -> None:
    written = truss_train("init")
    assert (written.code, written.out) == (0, "truss-train-init\n"), written.err
    assert sorted(path.name for path in elsewhere.iterdir()) == ["truss-train-init"]
    pushed = truss_train("push", "truss-train-init/config.py", "--tail")
    assert pushed.code == 0, pushed.err
    assert "step 50" in pushed.out
    found = json.loads(truss_train("checkpoints", "--project", "starter", "-o", "json").out)
    assert "checkpoint-50" in str(found)


def test_examples_go_into_directories_of_their_names(truss_train: Command, elsewhere: Path) -> None:
    assert truss_train("init", "--list-examples").out.split() == ["digits", "starter", "transformer", "two_nodes"]
    written = truss_train("init", "--examples", "digits, starter", "--target-directory", "there", "-o", "json")
    assert json.loads(written.out) == {"paths": ["there/digits", "there/starter"]}
    for path in _files(ROOT / "examples" / "digits"):
        assert (elsewhere / "there" / "digits" / path.name).read_bytes() == path.read_bytes()


def test_nothing_that_exists_is_replaced_and_nothing_else_written(truss_train: Command, elsewhere: Path) -> None:
    (elsewhere / "starter").mkdir()
    truss_train("init", "--examples", "digits,starter").is_refusal("starter exists already")
    truss_train("init", "--target-directory", "starter").is_refusal("starter exists already")
    truss_train("init", "--examples", "nothing").is_refusal("no example 'nothing'")
    truss_train("init", "--examples", "").is_refusal("no example ''")
    assert [path.name for path in elsewhere.rglob("*")] == ["starter"]


def test_the_wheel_has_every_file_of_the_examples(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if "/examples/" in name}
    shipped = (path.relative_to(ROOT) for folder in (ROOT / "examples").iterdir() for path in _files(folder))
    assert packed == {f"truss_train_core/{path.as_posix()}" for path in shipped}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]
