"""Pushing where transfers break off, stores fail and others push too: a whole archive and one job, or nothing."""

from __future__ import annotations

import functools
import itertools
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from served_platform import Served, served

from truss_train_core import package
from truss_train_core.api.client import Client
from truss_train_core.definitions import Image, TrainingJob, TrainingProject
from truss_train_core.errors import UploadError
from truss_train_core.jobs import Submitted
from truss_train_core.package.s3 import PART_SIZE
from truss_train_core.pushing import push_once_flow
from truss_train_core.remotes import Remote
from truss_train_core.testing import Decide, Fault, FaultProxy, scripted
from truss_train_core.testing.faults import Kind

STORE = "/local_uploads/"
SMALL, LARGE = 100_000, 2 * PART_SIZE + 100_000


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "platform") as platform:
        yield platform


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def push(platform: Served, source: Path, decide: Decide, name: str = "digits-1") -> tuple[Submitted, FaultProxy]:
    job = TrainingJob(name=name, image=Image(base_image="python:3.12"))
    remote = Remote(name="local", api_url=platform.url, web_url=platform.url, key=SecretStr(platform.platform.api_key))
    with FaultProxy.started(remote, decide) as proxy, Client(proxy.remote) as client:
        return client.run(push_once_flow(TrainingProject(name="digits", job=job), source)), proxy


def archive_of(platform: Served, submitted: Submitted) -> Path:
    url = f"/v1/training_projects/{submitted.project.id}/jobs/{submitted.job.id}/download"
    (address,) = platform.call("GET", url)["artifact_presigned_urls"]
    return platform.platform.data.root / "uploads" / address.partition("/uploads/")[2].partition("?")[0]


def is_whole(platform: Served, source: Path, submitted: Submitted) -> bool:
    return archive_of(platform, submitted).read_bytes() == b"".join(package.archive(package.prepare(source)))


def jobs_of(platform: Served, submitted: Submitted) -> list[str]:
    return [
        job["name"]
        for job in platform.call("GET", f"/v1/training_projects/{submitted.project.id}/jobs")["training_jobs"]
    ]


@pytest.mark.parametrize("after", [0, 1, 511, 512, 65_536, SMALL])
def test_an_archive_that_is_cut_at_any_byte_is_sent_again(platform: Served, source: Path, after: int) -> None:
    (source / "train.py").write_bytes(b"0123456789" * (SMALL // 10))
    submitted, proxy = push(platform, source, scripted(Fault("cut", "PUT", STORE, after=after)))
    assert [fault.kind for fault in proxy.struck] == ["cut"]
    assert is_whole(platform, source, submitted)
    assert jobs_of(platform, submitted) == ["digits-1"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "reset", "lost", "truncated", "misreported", "answered"])
@pytest.mark.parametrize("call", ["begin", "part", "join"])
def test_each_call_of_a_large_archive_is_repeated(platform: Served, source: Path, kind: Kind, call: str) -> None:
    (source / "weights.bin").write_bytes(b"0123456789abcdef" * (LARGE // 16))
    posts = itertools.count()
    left = [Fault(kind, after=PART_SIZE // 3)]

    def decide(number: int, method: str, path: str) -> Fault | None:
        if path.startswith(STORE):
            this = "part" if method == "PUT" else ("begin", "join")[min(next(posts), 1)]
            return left.pop() if left and this == call else None
        return None

    submitted, _ = push(platform, source, decide)
    assert not left
    assert is_whole(platform, source, submitted)
    assert jobs_of(platform, submitted) == ["digits-1"]


def test_a_store_that_goes_on_failing_ends_the_push_with_nothing_created(
    platform: Served, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "train.py").write_bytes(bytes(SMALL))
    monkeypatch.setattr(package, "upload", functools.partial(package.upload, retry_for=0.1))

    def always(number: int, method: str, path: str) -> Fault | None:
        return Fault("cut") if method == "PUT" else None

    with pytest.raises(UploadError, match="No job was created"):
        push(platform, source, always)
    assert platform.call("POST", "/v1/training_jobs/search", {})["training_jobs"] == []
    assert not list(platform.platform.data.root.rglob("*.tgz"))


def test_pushes_at_once_from_one_directory_do_not_mix(platform: Served, source: Path) -> None:
    (source / "weights.bin").write_bytes(b"0123456789abcdef" * (LARGE // 16))

    def pushed(number: int) -> Submitted:
        cut = scripted(Fault("cut", "PUT", STORE, after=number * 1000))
        return push(platform, source, cut, f"digits-{number % 2}")[0]

    with ThreadPoolExecutor(4) as pool:
        submitted = list(pool.map(pushed, range(4)))
    running = {
        job["name"]
        for job in platform.call("POST", "/v1/training_jobs/search", {})["training_jobs"]
        if "STOP" not in job["current_status"]
    }
    assert len({each.job.id for each in submitted}) == 2
    assert all(is_whole(platform, source, each) for each in submitted)
    assert tarfile.is_tarfile(archive_of(platform, submitted[0]))
    assert running == {"digits-0", "digits-1"}
