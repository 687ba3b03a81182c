import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Command, Printed, Project

from truss_train_core.cli import main, output
from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform

QUICK = Path(__file__).parent / "quick"


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A home directory of its own, nothing of the user's environment, and consoles bound to this test's streams."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in list(os.environ):
        if name.startswith(("BASETEN_", "TRUSS_TRAIN_", "USER_TRUSSRC")) or name in (
            "COLUMNS",
            "NO_COLOR",
            "FORCE_COLOR",
        ):
            monkeypatch.delenv(name)
    output.stdout.cache_clear()
    output.stderr.cache_clear()
    shown = warnings.showwarning
    yield
    warnings.showwarning = shown


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A local platform that really runs jobs."""
    with LocalPlatform.started(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


@pytest.fixture
def local(platform: LocalPlatform, untouched: None, monkeypatch: pytest.MonkeyPatch) -> LocalPlatform:
    """The platform, as the default remote of the commands in this test."""
    key = platform.remote.key.get_secret_value()
    write_remote("local", url=platform.remote.web_url, api_key=key)
    monkeypatch.setenv("TRUSS_TRAIN_REMOTE", "local")
    return platform


@pytest.fixture
def truss_train(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def command(*arguments: str | Path) -> Printed:
        capsys.readouterr()
        code = main.invoke([str(argument) for argument in arguments])
        return Printed(code, *capsys.readouterr())

    return command


@pytest.fixture
def quick(tmp_path: Path) -> Project:
    """Makes a project that trains for two seconds; returns its config file."""

    def project(name: str, **environment: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(QUICK, folder)
        config = folder / "config.py"
        text = config.read_text().replace('"quick"', repr(name))
        text = text.replace(
            "runtime=definitions.Runtime(\n", f"runtime=definitions.Runtime(\nenvironment_variables={environment},\n"
        )
        config.write_text(text)
        return config

    return project
