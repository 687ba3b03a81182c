"""Put the checkpoints that a job asks for where it looks for them, before its first command."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.processes.checkpoint_sync import LOOSE_FILES
from truss_train_core.local.runner import LoadedCheckpoint


def load(checkpoints: Iterable[LoadedCheckpoint], directory: Path, *, between_files: Callable[[], None]) -> list[Path]:
    """Copy checkpoints to `directory`/rank-<n>/<folder>/, and return the directories of their first ranks.

    The files are copies, so the job may change them. Every node gets the files of all ranks, so that a checkpoint of
    many nodes can be resumed on fewer. `between_files` is called before each file; what it raises ends the work.

    Raises:
        LocalPlatformError: the platform no longer has the checkpoint.
        OSError: the disk is full.
    """
    return [_load(checkpoint, directory, between_files) for checkpoint in checkpoints]


def _load(checkpoint: LoadedCheckpoint, directory: Path, between_files: Callable[[], None]) -> Path:
    folders = []
    for rank in sorted(checkpoint.source.glob("rank-*")):
        for file in _files(rank, checkpoint.checkpoint_name):
            between_files()
            folder = directory / rank.name / checkpoint.folder
            target = folder / file.relative_to(rank / checkpoint.checkpoint_name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
            folders.append(folder)
    if not folders:
        raise LocalPlatformError(
            f"The checkpoint {checkpoint.checkpoint_name} is no longer in {checkpoint.source}.",
            hint="Choose another; `truss-train checkpoints` lists them.",
        )
    return folders[0]


def _files(rank: Path, name: str) -> Iterator[Path]:
    found = rank.iterdir() if name == LOOSE_FILES else (rank / name).rglob("*")
    return (path for path in found if path.is_file())
