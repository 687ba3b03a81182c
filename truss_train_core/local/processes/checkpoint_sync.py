"""Copies of checkpoints, made while the job runs: what a job saved is kept even if it deletes it or is killed.

A checkpoint is a directory directly in a rank's checkpoint directory; files that lie there beside the directories are
the checkpoint "." (seen on the wire). Names that begin with a dot and links to directories are left out: the first is
how writers hide what is not finished, the second how they name one of the others once more ("latest").

A checkpoint is copied when its files have stayed the same, in size and time, over `settle` seconds; into a place aside
first, and moved into the store only if nothing changed meanwhile. It is `complete` when the store holds just what the
job wrote. If the job changes it later, it is incomplete until it is copied again. Nothing is ever deleted from the
store: a checkpoint, or a file of one, that the job removes afterwards (`save_total_limit`) stays.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from truss_train_core.local.runner import CheckpointIndex, StoredCheckpoint, StoredFile
from truss_train_core.local.statefiles import write_json_atomic

INDEX_FILE = "index.json"
LOOSE_FILES = "."
"""The name of the checkpoint that is made of the files beside the directories."""

_INCOMING = ".incoming"
_LARGEST_CONFIG = 1 << 20
_LAST_ATTEMPTS = 3


class _File(NamedTuple):
    """A file of a checkpoint: `path` is relative to the rank's directory."""

    rank: int
    path: str


class _Version(NamedTuple):
    size: int
    modified_ns: int


_Listing = dict[_File, _Version]


@dataclass(frozen=True)
class _Tracked:
    """What is known of one checkpoint: its files at the last look, since when they are so, what the store holds."""

    listing: _Listing = field(default_factory=dict)
    since: float = 0.0
    stored: _Listing = field(default_factory=dict)
    is_trusted: bool = True

    @property
    def is_copied(self) -> bool:
        return self.listing.items() <= self.stored.items()

    @property
    def is_complete(self) -> bool:
        return self.is_copied and self.is_trusted


class CheckpointSync(threading.Thread):
    """Looks at the ranks' checkpoint directories every `interval` seconds, and copies what is new.

    Args:
        roots: the checkpoint directory of each rank.
        store: where the copies go.
        interval: seconds between two looks.
        settle: seconds over which files must have stayed the same.
        behind: for a link in a rank's directory, the file that it leads to; None where that is none of the job's.

    Attributes:
        is_pending: whether a checkpoint is yet to be copied.
        error: why the last attempt to copy failed, or None.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        store: Path,
        *,
        interval: float,
        settle: float,
        behind: Callable[[Path], Path | None] = lambda link: link,
    ) -> None:
        super().__init__(name="checkpoint-sync", daemon=True)
        self._roots = roots
        self._store = store
        self._interval = interval
        self._settle = settle
        self._behind = behind
        self._tracked: dict[str, _Tracked] = {}
        self._published: dict[str, _Tracked] | None = None
        self._finished = threading.Event()
        self.is_pending = False
        self.error: str | None = None

    def run(self) -> None:
        while not self._finished.wait(self._interval):
            self._pass(settled_before=time.monotonic() - self._settle)

    def finish(self, cut_off_at: float | None = None) -> None:
        """The last pass, once the job's processes have ended: all files are final, so they are copied without delay.

        Args:
            cut_off_at: time of day (seconds since the epoch) at which processes were killed in the middle of what they
                did, or None. A checkpoint that was still being written within `settle` seconds before is copied, but
                does not count as complete.
        """
        self._finished.set()
        self.join()
        distrusted_after = math.inf if cut_off_at is None else cut_off_at - self._settle
        for attempt in range(_LAST_ATTEMPTS):
            if attempt:
                time.sleep(self._interval)
            self._pass(settled_before=math.inf, distrusted_after=distrusted_after)
            if not self.is_pending:
                return

    def _pass(self, *, settled_before: float, distrusted_after: float = math.inf) -> None:
        """See what is there, say so in the index, and copy what has not changed since `settled_before`.

        What was written later than `distrusted_after` (time of day) does not count as complete.
        """
        problems: list[OSError | ValueError] = []
        try:
            self._look()
            self._publish()
        except (OSError, ValueError) as error:  # ValueError: a name that is not UTF-8
            problems.append(error)
        for name, tracked in self._tracked.items():
            if not tracked.is_copied and tracked.since <= settled_before:
                is_trusted = _newest(tracked.listing) <= distrusted_after
                try:
                    self._tracked[name] = replace(tracked, stored=self._copy(name, tracked), is_trusted=is_trusted)
                except OSError as error:
                    problems.append(error)
        try:
            self._publish()
        except (OSError, ValueError) as error:
            problems.append(error)
        self.error = self._describe(problems[0]) if problems else None

    def _look(self) -> None:
        now = time.monotonic()
        found = self._checkpoints()
        for name in self._tracked.keys() | found.keys():
            tracked = self._tracked.get(name, _Tracked())
            listing = found.get(name, {})
            if tracked.listing != listing:
                self._tracked[name] = replace(tracked, listing=listing, since=now)
            if not listing and not tracked.stored:
                del self._tracked[name]

    def _describe(self, error: OSError | ValueError) -> str:
        return (
            f"Checkpoints cannot be copied to {self._store}: {getattr(error, 'strerror', None) or error}. "
            f"They remain in {', '.join(str(root) for root in self._roots)}."
        )

    def _copy(self, name: str, tracked: _Tracked) -> _Listing:
        """Copy what the store lacks, and return what it then holds.

        Nothing is moved into the store if the checkpoint changes or disappears meanwhile; the next look will see it.
        """
        incoming = self._store / _INCOMING
        lacking = [file for file, version in tracked.listing.items() if tracked.stored.get(file) != version]
        try:
            for file in lacking:
                _copy_durably(self._written_at(file), incoming / _stored_at(file))
            if self._checkpoints().get(name) != tracked.listing:
                return tracked.stored
            for file in lacking:
                target = self._store / _stored_at(file)
                target.parent.mkdir(parents=True, exist_ok=True)
                (incoming / _stored_at(file)).replace(target)
        except FileNotFoundError:
            return tracked.stored
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return {**tracked.stored, **tracked.listing}

    def _publish(self) -> None:
        self.is_pending = any(not tracked.is_copied for tracked in self._tracked.values())
        if self._tracked != self._published:
            entries = [self._entry(name, tracked) for name, tracked in self._tracked.items()]
            entries.sort(key=lambda entry: (entry.created_at, entry.name))
            self._store.mkdir(parents=True, exist_ok=True)
            write_json_atomic(self._store / INDEX_FILE, CheckpointIndex(checkpoints=tuple(entries)))
            self._published = dict(self._tracked)

    def _entry(self, name: str, tracked: _Tracked) -> StoredCheckpoint:
        adapter = self._read_config(name, "adapter_config.json", tracked)
        config = self._read_config(name, "config.json", tracked)
        return StoredCheckpoint(
            name=name,
            kind="lora" if adapter else "whisper" if config.get("model_type") == "whisper" else "full",
            created_at=_time(_newest(tracked.stored or tracked.listing)),
            base_model=_text(adapter, "base_model_name_or_path") or _text(config, "_name_or_path"),
            lora_adapter_config=adapter or None,
            complete=tracked.is_complete,
            files=tuple(
                StoredFile(
                    path=file.path,
                    rank=file.rank,
                    size_bytes=version.size,
                    last_modified=_time(version.modified_ns / 1e9),
                )
                for file, version in sorted(tracked.stored.items())
            ),
        )

    def _checkpoints(self) -> dict[str, _Listing]:
        """The checkpoints of all ranks, by name, with their files. A directory without files is not one yet."""
        found: dict[str, _Listing] = {}
        for rank, root in enumerate(self._roots):
            for path in _files_below(root, root):
                file = _File(rank, path)
                try:
                    information = self._written_at(file).stat()
                except OSError:
                    continue
                if stat.S_ISREG(information.st_mode):
                    name = path.split("/")[0] if "/" in path else LOOSE_FILES
                    version = _Version(information.st_size, information.st_mtime_ns)
                    found.setdefault(name, {})[file] = version
        return found

    def _written_at(self, file: _File) -> Path:
        """Where the job wrote a file, which may be behind a link.

        Raises:
            FileNotFoundError: behind the link is nothing of the job's.
        """
        path = self._roots[file.rank] / file.path
        place = self._behind(path) if path.is_symlink() else path
        if place is None:
            raise FileNotFoundError(path)
        return place

    def _read_config(self, name: str, file_name: str, tracked: _Tracked) -> dict[str, Any]:
        """A JSON object of the first rank that has it; empty where there is none, or none yet."""
        path = file_name if name == LOOSE_FILES else f"{name}/{file_name}"
        for file, version in sorted((tracked.stored or tracked.listing).items()):
            if file.path == path and version.size <= _LARGEST_CONFIG:
                with contextlib.suppress(OSError, ValueError):
                    place = self._store / _stored_at(file) if tracked.stored else self._written_at(file)
                    content = json.loads(place.read_bytes())
                    return content if isinstance(content, dict) else {}
        return {}


def _files_below(directory: Path, root: Path) -> Iterator[str]:
    """What is no directory, with paths relative to `root`. What vanishes meanwhile is not there."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = Path(entry.path)
        if directory == root and entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(path, root)
        else:
            yield path.relative_to(root).as_posix()


def _copy_durably(source: Path, target: Path) -> None:
    """Copy a file with its time of modification, and have it on the disk before it is called complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    information = source.stat()
    shutil.copyfile(source, target)
    os.utime(target, ns=(information.st_atime_ns, information.st_mtime_ns))
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _stored_at(file: _File) -> str:
    return f"rank-{file.rank}/{file.path}"


def _newest(listing: _Listing) -> float:
    return max(version.modified_ns for version in listing.values()) / 1e9


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _text(config: dict[str, Any], key: str) -> str | None:
    value = config.get(key)
    return value if isinstance(value, str) and value else None
