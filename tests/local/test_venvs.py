from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from running_jobs import Jobs
from uv import find_uv_bin

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.processes import venvs


def wheel(directory: Path, version: str, name: str = "frobnicate") -> Path:
    """A wheel with a module and a console script, both of which tell their version and their environment."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"import sys\ndef main(): print({version!r}, sys.prefix)\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
        archive.writestr(
            f"{info}/RECORD",
            "".join(f"{file},,\n" for file in (f"{name}.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")),
        )
    return path


def run(venv: Path, *command: str | Path) -> str:
    environment = {**os.environ, "PATH": f"{venv / 'bin'}:/usr/bin:/bin", "VIRTUAL_ENV": str(venv), "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=venv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The Python of a virtual environment without pip, as uv makes it, with frobnicate 1.0 in it."""
    directory = tmp_path / "platform"
    quiet = {"check": True, "capture_output": True}
    subprocess.run([find_uv_bin(), "venv", "--no-project", "--python", sys.executable, directory], **quiet)
    python = directory / "bin" / "python"
    install = [find_uv_bin(), "pip", "install", "--no-index", "--python", python, wheel(tmp_path / "old", "1.0")]
    subprocess.run(install, **quiet)
    return python


@pytest.fixture
def venv(tmp_path: Path, platform: Path) -> Path:
    venvs.create(tmp_path / "a job's venv", platform)
    return tmp_path / "a job's venv"


def test_the_interpreter_s_packages_and_scripts_are_seen_from_the_job_s_environment(venv: Path) -> None:
    assert run(venv, "python", "-c", "import frobnicate; frobnicate.main()") == f"1.0 {venv}\n"
    assert run(venv, "python3", "-c", "import sys; print(sys.prefix)") == f"{venv}\n"
    assert run(venv, "frobnicate") == f"1.0 {venv}\n"


@pytest.mark.parametrize("pip", [["pip"], ["pip3"], ["python", "-m", "pip"]], ids=" ".join)
def test_an_upgrade_goes_into_the_job_s_environment_only(
    tmp_path: Path, platform: Path, venv: Path, pip: list[str]
) -> None:
    wheel(tmp_path / "new", "2.0")

    run(venv, *pip, "install", "-U", "frobnicate", "--find-links", tmp_path / "new")

    assert run(venv, "python", "-c", "import frobnicate; frobnicate.main()") == f"2.0 {venv}\n"
    assert run(venv, "frobnicate") == f"2.0 {venv}\n"
    assert run(venv, platform, "-c", "import frobnicate; frobnicate.main()") == f"1.0 {platform.parents[1]}\n"


def test_requirements_that_the_interpreter_meets_are_not_installed_again(tmp_path: Path, venv: Path) -> None:
    wheel(tmp_path / "new", "1.0", name="gadget")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("frobnicate>=1.0\ngadget==1.0\n")

    output = run(venv, "pip", "install", "-r", requirements, "--find-links", tmp_path / "new")

    assert "already satisfied: frobnicate" in output
    assert run(venv, "gadget") == f"1.0 {venv}\n"


def test_what_the_interpreter_has_cannot_be_uninstalled_from_a_job(platform: Path, venv: Path) -> None:
    run(venv, "pip", "uninstall", "-y", "frobnicate")

    assert run(venv, platform, "-c", "import frobnicate; frobnicate.main()").startswith("1.0 ")


def test_uv_pip_installs_into_the_job_s_environment(tmp_path: Path, platform: Path, venv: Path) -> None:
    new = wheel(tmp_path / "new", "2.0")

    run(venv, "uv", "pip", "install", "--no-index", new)

    assert run(venv, "frobnicate") == f"2.0 {venv}\n"
    assert run(venv, platform, "-c", "import frobnicate; frobnicate.main()").startswith("1.0 ")


def test_editable_installs_of_the_interpreter_are_seen(tmp_path: Path, platform: Path) -> None:
    [site_packages] = platform.parents[1].glob("lib/python*/site-packages")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "edited.py").write_text("print('edited')")
    (site_packages / "edited.pth").write_text(str(tmp_path / "source"))

    venvs.create(tmp_path / "venv", platform)

    assert run(tmp_path / "venv", "python", "-c", "import edited") == "edited\n"


def test_a_base_interpreter_will_do_as_well(tmp_path: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / "python3"

    venvs.create(tmp_path / "venv", base)

    assert run(tmp_path / "venv", "python", "-c", "import sys; print(sys.prefix)") == f"{tmp_path / 'venv'}\n"
    assert run(tmp_path / "venv", "pip", "--version").startswith("pip ")


def test_an_environment_is_made_in_less_than_a_second(tmp_path: Path) -> None:
    began = time.perf_counter()

    venvs.create(tmp_path / "venv", Path(sys.executable))

    assert time.perf_counter() - began < 1.0


def test_what_is_no_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalPlatformError, match="/bin/false does not work as a Python interpreter"):
        venvs.create(tmp_path / "venv", Path("/bin/false"))


def test_pip_install_in_a_start_command_works_and_leaves_the_platform_alone(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    path = wheel(tmp_path / "new", "2.0", name="only_in_the_job")
    spec = jobs.submit(f"pip install --no-index {path} && only_in_the_job", "python -c 'import only_in_the_job'")

    assert jobs.ended(spec).phase == "completed"

    assert f"2.0 {spec.directory}/venv/rank-0\n" in jobs.log(spec)
    done = subprocess.run([sys.executable, "-c", "import only_in_the_job"], capture_output=True, check=False)
    assert done.returncode != 0
