from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_jobs import wait_for

from truss_train_core.local.processes import checkpoint_sync
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE, CheckpointSync
from truss_train_core.local.runner import CheckpointIndex, StoredCheckpoint
from truss_train_core.local.statefiles import read_json

SETTLE = 0.2


class Synced:
    """A job's checkpoint directories, kept in step with a store by a running `CheckpointSync`."""

    def __init__(self, base: Path, ranks: int = 1) -> None:
        self.roots = [base / f"node-{rank}" for rank in range(ranks)]
        for root in self.roots:
            root.mkdir()
        self.store = base / "store"
        self.sync = CheckpointSync(self.roots, self.store, interval=0.03, settle=SETTLE)
        self.sync.start()

    def write(self, path: str, content: str | bytes = "x", rank: int = 0) -> Path:
        file = self.roots[rank] / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def index(self) -> dict[str, StoredCheckpoint]:
        index = read_json(self.store / INDEX_FILE, CheckpointIndex) or CheckpointIndex()
        return {checkpoint.name: checkpoint for checkpoint in index.checkpoints}

    def complete(self, name: str) -> StoredCheckpoint:
        def look() -> StoredCheckpoint | None:
            checkpoint = self.index().get(name)
            return checkpoint if checkpoint and checkpoint.complete else None

        return wait_for(look, f"{name} is complete")


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Synced]:
    synced = Synced(tmp_path)
    yield synced
    synced.sync.finish()


def test_a_checkpoint_is_copied_with_its_times_and_sizes(synced: Synced) -> None:
    source = synced.write("checkpoint-1/model.bin", b"abc")
    synced.write("checkpoint-1/deep/er/optimizer.bin", b"defg")

    checkpoint = synced.complete("checkpoint-1")

    assert {file.path: file.size_bytes for file in checkpoint.files} == {
        "checkpoint-1/model.bin": 3,
        "checkpoint-1/deep/er/optimizer.bin": 4,
    }
    assert checkpoint.size_bytes == 7
    assert checkpoint.files[1].last_modified.timestamp() == pytest.approx(source.stat().st_mtime, abs=1e-3)
    assert (synced.store / "rank-0/checkpoint-1/model.bin").read_bytes() == b"abc"
    assert (synced.store / "rank-0/checkpoint-1/model.bin").stat().st_mtime_ns == source.stat().st_mtime_ns


def test_a_checkpoint_that_is_still_being_written_is_listed_but_never_complete(synced: Synced) -> None:
    began, last_write = time.monotonic(), 0.0
    with synced.write("checkpoint-1/model.bin").open("ab", buffering=0) as file:
        while last_write - began < 4 * SETTLE:
            file.write(b"x" * 1000)
            last_write = time.monotonic()
            checkpoint = synced.index().get("checkpoint-1")
            assert checkpoint is None or not checkpoint.complete or time.monotonic() - last_write >= SETTLE
            time.sleep(0.01)
    assert "checkpoint-1" in synced.index()
    assert synced.sync.is_pending

    assert (
        synced.complete("checkpoint-1").size_bytes == synced.roots[0].joinpath("checkpoint-1/model.bin").stat().st_size
    )
    assert time.monotonic() - last_write >= SETTLE


def test_a_file_that_changes_later_is_copied_again_and_incomplete_meanwhile(synced: Synced) -> None:
    synced.write("last/model.bin", "old")
    synced.write("last/same.bin", "same")
    synced.complete("last")

    synced.write("last/model.bin", "newer")

    wait_for(lambda: not synced.index()["last"].complete, "the change is seen")
    assert synced.complete("last").size_bytes == len("newer") + len("same")
    assert (synced.store / "rank-0/last/model.bin").read_text() == "newer"


def test_a_checkpoint_deleted_after_it_was_copied_stays(synced: Synced) -> None:
    synced.write("checkpoint-1/model.bin", "weights")
    synced.complete("checkpoint-1")

    shutil.rmtree(synced.roots[0] / "checkpoint-1")
    synced.write("checkpoint-2/model.bin")
    synced.complete("checkpoint-2")

    assert synced.index()["checkpoint-1"].complete
    assert (synced.store / "rank-0/checkpoint-1/model.bin").read_text() == "weights"


def test_one_half_deleted_when_the_job_was_killed_stays_whole(synced: Synced) -> None:
    synced.write("checkpoint-1/model.bin", "weights")
    synced.write("checkpoint-1/optimizer.bin", "state")
    synced.complete("checkpoint-1")

    (synced.roots[0] / "checkpoint-1/optimizer.bin").unlink()
    synced.sync.finish()

    assert synced.index()["checkpoint-1"].complete
    assert {file.path for file in synced.index()["checkpoint-1"].files} == {
        "checkpoint-1/model.bin",
        "checkpoint-1/optimizer.bin",
    }
    assert (synced.store / "rank-0/checkpoint-1/optimizer.bin").exists()


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], tuple[threading.Event, threading.Event]]]:
    """Holds up each copy: the first event is set when one is about to happen, the second lets them happen."""
    reached, go_on = threading.Event(), threading.Event()
    real = checkpoint_sync._copy_durably

    def copy(source: Path, target: Path) -> None:
        reached.set()
        assert go_on.wait(30)
        real(source, target)

    monkeypatch.setattr(checkpoint_sync, "_copy_durably", copy)
    yield lambda: (reached, go_on)
    go_on.set()


def test_one_deleted_while_it_is_copied_is_dropped(
    copying: Callable[[], tuple[threading.Event, threading.Event]], synced: Synced
) -> None:
    reached, go_on = copying()
    synced.write("checkpoint-1/model.bin")
    assert reached.wait(30)

    shutil.rmtree(synced.roots[0] / "checkpoint-1")
    go_on.set()

    wait_for(lambda: "checkpoint-1" not in synced.index(), "it is dropped")
    assert not (synced.store / "rank-0/checkpoint-1").exists()
    assert not (synced.store / ".incoming").exists()


def test_one_changed_while_it_is_copied_is_not_mixed_with_the_copy_before(
    copying: Callable[[], tuple[threading.Event, threading.Event]], synced: Synced
) -> None:
    reached, go_on = copying()
    go_on.set()
    for name in ("a", "b"):
        synced.write(f"last/{name}", "1")
    synced.complete("last")
    go_on.clear()
    reached.clear()
    for name in ("a", "b"):
        synced.write(f"last/{name}", "22")
    assert reached.wait(30)

    synced.write("last/b", "333")
    go_on.set()
    shutil.rmtree(synced.roots[0] / "last")
    synced.sync.finish()

    assert [(synced.store / f"rank-0/last/{name}").read_text() for name in ("a", "b")] == ["1", "1"]
    assert synced.index()["last"].complete


def test_the_last_pass_copies_what_was_just_written(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    synced.write("checkpoint-1/model.bin")

    synced.sync.finish()

    assert synced.index()["checkpoint-1"].complete
    assert not synced.sync.is_pending


def test_what_was_being_written_when_the_job_was_killed_is_kept_but_not_complete(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    old = synced.write("checkpoint-1/model.bin")
    os.utime(old, (time.time() - 60, time.time() - 60))
    synced.write("checkpoint-2/model.bin")

    synced.sync.finish(cut_off_at=time.time())

    assert {name: checkpoint.complete for name, checkpoint in synced.index().items()} == {
        "checkpoint-1": True,
        "checkpoint-2": False,
    }
    assert (synced.store / "rank-0/checkpoint-2/model.bin").exists()


def test_loose_files_are_a_checkpoint_of_their_own(synced: Synced) -> None:
    synced.write("adapter_config.json", '{"base_model_name_or_path": "some/model"}')
    synced.write("checkpoint-1/model.bin")

    loose = synced.complete(".")
    synced.complete("checkpoint-1")

    assert [file.path for file in loose.files] == ["adapter_config.json"]
    assert (loose.kind, loose.base_model) == ("lora", "some/model")


def test_hidden_names_links_to_directories_and_empty_directories_are_no_checkpoints(synced: Synced) -> None:
    synced.write(".tmp-checkpoint-2/model.bin")
    (synced.roots[0] / "empty").mkdir()
    synced.write("checkpoint-1/model.bin")
    (synced.roots[0] / "latest").symlink_to(synced.roots[0] / "checkpoint-1")
    os.mkfifo(synced.roots[0] / "checkpoint-1" / "pipe")

    assert [file.path for file in synced.complete("checkpoint-1").files] == ["checkpoint-1/model.bin"]
    assert set(synced.index()) == {"checkpoint-1"}


@pytest.mark.parametrize(
    ("files", "kind", "base_model"),
    [
        ({"adapter_config.json": {"r": 8, "base_model_name_or_path": "meta/llama"}}, "lora", "meta/llama"),
        ({"config.json": {"model_type": "whisper", "_name_or_path": "openai/tiny"}}, "whisper", "openai/tiny"),
        ({"config.json": {"model_type": "gpt2"}, "model.safetensors": {}}, "full", None),
        ({"config.json": [], "model.bin": {}}, "full", None),
        ({"model.pt": {}}, "full", None),
    ],
)
def test_the_kind_is_recognised_from_the_files(
    synced: Synced, files: dict[str, object], kind: str, base_model: str | None
) -> None:
    for name, content in files.items():
        synced.write(f"checkpoint-1/{name}", json.dumps(content))

    checkpoint = synced.complete("checkpoint-1")

    assert (checkpoint.kind, checkpoint.base_model) == (kind, base_model)
    assert checkpoint.lora_adapter_config == files.get("adapter_config.json")


def test_checkpoints_are_listed_oldest_first(tmp_path: Path) -> None:
    synced = Synced(tmp_path)
    for age, name in ((1, "checkpoint-3"), (9, "checkpoint-20"), (5, "checkpoint-100")):
        file = synced.write(f"{name}/model.bin")
        os.utime(file, (time.time() - age * 60, time.time() - age * 60))

    synced.sync.finish()

    assert list(synced.index()) == ["checkpoint-20", "checkpoint-100", "checkpoint-3"]


def test_a_checkpoint_of_several_nodes_is_one(tmp_path: Path) -> None:
    synced = Synced(tmp_path, ranks=2)
    synced.write("step-1/shard-0", "a", rank=0)
    synced.write("step-1/shard-1", "bb", rank=1)

    synced.sync.finish()

    checkpoint = synced.index()["step-1"]
    assert checkpoint.complete
    assert [(file.rank, file.path, file.size_bytes) for file in checkpoint.files] == [
        (0, "step-1/shard-0", 1),
        (1, "step-1/shard-1", 2),
    ]
    assert (synced.store / "rank-1/step-1/shard-1").read_text() == "bb"


def test_a_full_disk_is_told_and_copying_is_tried_again(synced: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(checkpoint_sync, "_copy_durably", no_room)
        synced.write("checkpoint-1/model.bin")
        error = wait_for(lambda: synced.sync.error, "the error")
        assert "No space left on device" in error
        assert str(synced.roots[0]) in error
        assert not synced.index()["checkpoint-1"].complete

    synced.complete("checkpoint-1")
    wait_for(lambda: synced.sync.error is None, "the error is over")
