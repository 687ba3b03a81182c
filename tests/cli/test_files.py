"""Files of jobs on this machine: download, addresses of checkpoints, the cache."""

import csv
import io
import json
import stat
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from command_line import Command, Project

from truss_train_core.testing import LocalPlatform


@pytest.fixture(scope="module")
def trained() -> dict[str, str]:
    return {}


@pytest.fixture
def job_id(trained: dict[str, str], local: LocalPlatform, quick: Project, truss_train: Command) -> str:
    """A job that has completed."""
    if "files" not in trained:
        config = quick("files", STEP_SECONDS="0.05")
        text = config.read_text().replace("start_commands=[", 'start_commands=["echo hi > $BT_PROJECT_CACHE_DIR/hi", ')
        config.write_text(
            text.replace(
                "checkpointing_config", "cache_config=definitions.CacheConfig(enabled=True), checkpointing_config"
            )
        )
        pushed = truss_train("push", config, "--tail", "-o", "json")
        assert pushed.code == 0, pushed.err
        trained["files"] = json.loads(pushed.out.splitlines()[-1])["result"]["id"]
    return trained["files"]


def test_a_download_has_the_files_in_a_directory_of_its_own(truss_train: Command, job_id: str, tmp_path: Path) -> None:
    target = tmp_path / "there"
    printed = truss_train("download", "--job-id", job_id, "--target-directory", target)
    assert printed.code == 0, printed.err
    assert printed.out == f"{target / f'files_{job_id}'}\n"
    assert sorted(path.name for path in (target / f"files_{job_id}").iterdir()) == ["config.py", "serve.py", "train.py"]
    assert [path.name for path in target.iterdir()] == [f"files_{job_id}"]

    (target / f"files_{job_id}" / "mine").touch()
    truss_train("download", "--job-id", job_id, "--target-directory", target).is_refusal("exists already")
    assert (target / f"files_{job_id}" / "mine").exists()


def test_an_archive_may_stay_one(truss_train: Command, job_id: str, tmp_path: Path) -> None:
    printed = truss_train("download", "--job-id", job_id, "--target-directory", tmp_path, "--no-unzip", "-o", "json")
    [path] = json.loads(printed.out)["paths"]
    with tarfile.open(path) as archive:
        assert "train.py" in archive.getnames()
    truss_train("download", "--job-id", job_id, "--target-directory", tmp_path).is_refusal("exists already")


def test_an_archive_that_leads_out_of_its_directory_is_refused_and_leaves_nothing(
    truss_train: Command, job_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("good"))
        archive.addfile(tarfile.TarInfo("../evil"))
    monkeypatch.setattr("truss_train_core.api.downloads.pieces", lambda url, about: iter([content.getvalue()]))
    target = tmp_path / "there"
    printed = truss_train("download", "--job-id", job_id, "--target-directory", target)
    printed.is_refusal("../evil", code=3)
    assert list(target.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(
    truss_train: Command, job_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        def body() -> Iterator[bytes]:
            yield b"beginning"
            raise httpx.ReadError("connection reset")

        return httpx.Response(200, content=body())

    def stream(method: str, url: str, **_: object) -> AbstractContextManager[httpx.Response]:
        return httpx.Client(transport=httpx.MockTransport(broken)).stream(method, url)

    monkeypatch.setattr("truss_train_core.api.downloads.httpx.stream", stream)
    target = tmp_path / "there"
    printed = truss_train("download", "--job-id", job_id, "--target-directory", target)
    printed.is_refusal("connection reset", code=3)
    assert "X-Amz" not in printed.err
    assert list(target.iterdir()) == []


def test_addresses_of_checkpoints_are_written_to_a_file_for_the_owner_alone(
    truss_train: Command, job_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = truss_train("get-checkpoint-urls", "--job-id", job_id)
    path = tmp_path / printed.out.strip()
    assert path.name == f"files_{job_id}_checkpoints.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = json.loads(path.read_text())
    assert document["job"]["id"] == job_id
    [state] = [
        each for each in document["checkpoint_artifacts"]
        if each["relative_file_name"] == "checkpoint-3/trainer_state.json"
    ]  # fmt: skip
    with urllib.request.urlopen(state["url"]) as answer:
        assert json.load(answer)["global_step"] == 3
    assert json.loads(truss_train("get_checkpoint_urls", "--job-id", job_id, "-o", "json").out)["job"]["id"] == job_id


def test_the_cache_is_listed_in_three_forms(truss_train: Command, job_id: str) -> None:
    assert "hi" in truss_train("cache", "summarize", "files").out
    document = json.loads(truss_train("cache", "summarize", "files", "-o", "json").out)
    [size] = [file["size_bytes"] for file in document["file_summaries"] if file["path"].endswith("hi")]
    assert size == 3
    text = truss_train("cache", "summarize", "files", "-o", "csv", "--sort", "size", "--order", "desc").out
    sizes = [int(row["size_bytes"]) for row in csv.DictReader(io.StringIO(text))]
    assert sizes == sorted(sizes, reverse=True)
    truss_train("cache", "summarize", "nosuch").is_refusal("nosuch")


def test_checkpoints_are_sorted_and_written_as_csv(truss_train: Command, job_id: str) -> None:
    newest_first = ("checkpoints", "--job-id", job_id, "--sort", "checkpoint-id", "--order", "desc")
    rows = list(csv.DictReader(io.StringIO(truss_train(*newest_first, "-o", "csv").out)))
    assert [row["checkpoint_id"] for row in rows] == [f"checkpoint-{step}" for step in (5, 4, 3, 2, 1)]
    assert [row["eval_loss"] for row in rows] == ["2.5", "1.5", "0.5", "1.5", "2.5"]
    lines = truss_train("checkpoints", "list", *newest_first[1:]).out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [row["checkpoint_id"] for row in rows]


def test_the_files_of_one_checkpoint(truss_train: Command, job_id: str) -> None:
    named = ("checkpoints", "--job-id", job_id, "--checkpoint-name")
    assert "checkpoint-2/model.safetensors" in truss_train(*named, "checkpoint-2").out
    files = json.loads(truss_train(*named, "checkpoint-2", "-o", "json").out)["files"]
    assert {file["relative_file_name"].partition("/")[0] for file in files} == {"checkpoint-2"}
    rows = list(csv.DictReader(io.StringIO(truss_train(*named, "checkpoint-2", "-o", "csv").out)))
    assert [int(row["size_bytes"]) for row in rows] == [file["size_bytes"] for file in files]
    truss_train(*named, "checkpoint-9").is_refusal("checkpoint-9", "checkpoint-1")
