"""What our client sends for a job is what truss sends: the same definitions, pushed by both, recorded on the way."""

from __future__ import annotations

import copy
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Truss, truss_through
from recorder import Recorder, recording

from truss_train_core import Remote, push, resolve_remote
from truss_train_core.errors import Rejected
from truss_train_core.remotes import write_remote
from truss_train_core.testing import LocalPlatform

GOLDEN = sorted((Path(__file__).parents[1] / "tests" / "golden" / "job_bodies").glob("*.py"))
PUSH_ALL_WITH_TRUSS = """
import sys
from pathlib import Path
import requests, truss_train

for config in sys.argv[1:]:
    try:
        truss_train.push(Path(config), remote="local")
    except requests.HTTPError:
        pass
    print(config, flush=True)
    sys.stdin.readline()
"""


@dataclass(frozen=True)
class Sent:
    """What a push sent: the bodies that create the project and the job, and the archive."""

    project: dict[str, Any]
    job: dict[str, Any]
    archive: bytes = field(repr=False)

    @classmethod
    def from_calls(cls, recorder: Recorder) -> Sent:
        """What was recorded last; the recorder is emptied."""
        project, archive, job = (
            recorder.only(*call) for call in (("POST", r"/training_projects$"), ("PUT", r"\.tgz$"), ("POST", r"/jobs$"))
        )
        recorder.calls.clear()
        return cls(project.json["training_project"], job.json["training_job"], archive.content)

    @property
    def comparable_job(self) -> str:
        """The job without what differs by design: the client's version, and the key that the archive was given."""
        job = copy.deepcopy(self.job)
        (artifact,) = job["runtime"]["artifacts"]
        artifact["s3_key"] = job["truss_user_env"]["truss_client_version"] = "…"
        return as_text(job)

    @property
    def members(self) -> list[tuple[str, int, bytes, int]]:
        """Name, kind, mode and size of all that is in the archive."""
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as archive:
            return sorted((one.name, one.mode, one.type, one.size) for one in archive.getmembers())


def as_text(body: dict[str, Any]) -> str:
    """JSON, in which 1, 1.0 and true differ."""
    return json.dumps(body, indent=2, sort_keys=True)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """Nothing runs on it: what the bodies ask for is not ours to run."""
    with LocalPlatform.started(tmp_path_factory.mktemp("platform"), capacity={"CPU": 0, "H100": 0}) as platform:
        yield platform


@pytest.fixture(scope="module")
def proxy(platform: LocalPlatform) -> Iterator[Recorder]:
    with recording(platform.remote.api_url) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def truss(platform: LocalPlatform, proxy: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Truss:
    return truss_through(proxy.url, platform.remote, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def ours(truss: Truss, platform: LocalPlatform, proxy: Recorder) -> Remote:
    """The same for our client, which takes the proxy for the platform."""
    key = platform.remote.key.get_secret_value()
    write_remote("recorded", url=proxy.url, api_key=key, path=Path(truss.environment["USER_TRUSSRC_PATH"]))
    return resolve_remote("recorded", environ=truss.environment)


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The golden configs, each in a working directory with the neighbours that a workspace may name, under git."""
    root = tmp_path_factory.mktemp("configs")
    placed = {}
    for config in GOLDEN:
        placed[config.stem] = root / config.stem / "code" / "training" / "config.py"
        placed[config.stem].parent.mkdir(parents=True)
        for neighbour in ("shared", "code/data"):
            (root / config.stem / neighbour).mkdir()
        shutil.copy(config, placed[config.stem])
    git = ["git", "-C", str(root), "-c", "user.name=interop", "-c", "user.email=interop@example.com"]
    for command in ("init", "add .", "commit -m first", "tag v1", "commit --allow-empty -m second"):
        subprocess.run([*git, *command.split()], check=True, capture_output=True)
    (root / "changed").touch()
    return placed


@pytest.fixture(scope="module")
def by_truss(truss: Truss, proxy: Recorder, configs: dict[str, Path]) -> dict[str, Sent]:
    """What truss sends for each config."""
    command = [sys.executable, "-c", PUSH_ALL_WITH_TRUSS, *map(str, configs.values())]
    sent = {}
    with subprocess.Popen(
        command, env=truss.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        for name, config in configs.items():
            while (line := process.stdout.readline()).strip() != str(config):
                assert line, f"truss ended before it had pushed {name}"
            sent[name] = Sent.from_calls(proxy)
            process.stdin.write("next\n")
    return sent


@pytest.mark.parametrize("name", [config.stem for config in GOLDEN])
def test_a_push_sends_what_truss_sends(
    name: str, by_truss: dict[str, Sent], ours: Remote, proxy: Recorder, configs: dict[str, Path]
) -> None:
    with suppress(Rejected):  # the platform refuses what is not there; it was sent all the same
        push(configs[name], remote=ours)
    sent, theirs = Sent.from_calls(proxy), by_truss[name]
    assert sent.comparable_job == theirs.comparable_job
    assert sent.project == theirs.project
    assert sent.members == theirs.members
    assert theirs.job["truss_user_env"]["git_info"]["latest_tag"] == "v1"


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda config: config.stem)
def test_the_golden_body_is_what_truss_sends(golden: Path, by_truss: dict[str, Sent]) -> None:
    recorded, theirs = json.loads(golden.with_suffix(".json").read_text()), by_truss[golden.stem]
    job = recorded["training_job"]
    job["runtime"]["artifacts"], job["truss_user_env"] = (
        theirs.job["runtime"]["artifacts"],
        theirs.job["truss_user_env"],
    )
    assert as_text(job) == as_text(theirs.job)
    assert as_text(recorded["training_project"]) == as_text(theirs.project)


def test_the_command_line_sends_what_the_command_line_of_truss_sends(
    truss: Truss, ours: Remote, proxy: Recorder, configs: dict[str, Path]
) -> None:
    arguments = ["push", str(configs["minimal"]), "--job-name", "wide", "--accelerator", "H100:4"]
    arguments += ["--node-count", "2", "--entrypoint", "echo $HOME", "--priority", "-1", "--spot", "--team", "local"]
    truss(*arguments)
    theirs = Sent.from_calls(proxy)
    theirs.job["runtime"].setdefault("enable_cache", None)  # which truss loses when an option replaces the commands
    command = [str(Path(sys.executable).with_name("truss-train")), *arguments, "--remote", ours.name]
    subprocess.run(command, env=truss.environment, check=True, capture_output=True)
    sent = Sent.from_calls(proxy)
    assert sent.comparable_job == theirs.comparable_job
    assert sent.project == theirs.project
