"""The directory in which the platform keeps everything. One server at a time holds it; only its owner can read it.

format           version of this layout
lock             held by the server that uses it
api-key          the key that clients send
presign-key      what download addresses are signed with
platform.db      what the platform remembers
uploads/         archives of working directories, as they were uploaded
jobs/  checkpoints/  caches/  deployments/
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from truss_train_core.durable import replace_file
from truss_train_core.errors import LocalPlatformError

FORMAT = 1
"""Version of the layout that this release writes. A newer one is refused; there is no older one."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_KEY_PREFIX = "local-"


@dataclass(frozen=True)
class DataDir:
    """Paths in the data directory."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "platform.db"

    @property
    def key_file(self) -> Path:
        return self.root / "api-key"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def parts(self) -> Path:
        """Parts of uploads that are not complete."""
        return self.root / "uploads.parts"

    def upload(self, key: str) -> Path:
        return self.uploads / key

    def job(self, job_id: str) -> Path:
        return self.root / "jobs" / job_id

    def checkpoints(self, project_id: str, job_id: str) -> Path:
        return self.root / "checkpoints" / project_id / job_id

    def caches_of_project(self, project_id: str) -> Path:
        return self.root / "caches" / "projects" / project_id

    def project_cache(self, project_id: str) -> Path:
        return self.caches_of_project(project_id) / "user_artifacts"

    def huggingface_cache(self, project_id: str) -> Path:
        return self.caches_of_project(project_id) / "huggingface"

    def team_cache(self, team_id: str) -> Path:
        return self.root / "caches" / "teams" / team_id

    def deployment(self, deployment_id: str) -> Path:
        return self.root / "deployments" / deployment_id

    def api_key(self, given: str | None = None) -> str:
        """The platform's key: the given one, which is kept; else the one of last time; else a new one."""
        return _kept(self.key_file, given or _read(self.key_file) or _KEY_PREFIX + secrets.token_urlsafe(24))

    def presign_key(self) -> bytes:
        path = self.root / "presign-key"
        return _kept(path, _read(path) or secrets.token_hex(32)).encode()


@contextmanager
def held(root: Path) -> Iterator[DataDir]:
    """The data directory, made where there is none, and locked for as long as the context lasts.

    Raises:
        LocalPlatformError: another server uses it, a newer release wrote it, or it cannot be written.
    """
    try:
        root = root.expanduser().resolve()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(root, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalPlatformError(
                f"Another server uses {root}.", hint="Stop it, or give this one a --data-dir of its own."
            ) from None
        try:
            _check_format(root)
            for name in ("uploads", "uploads.parts", "jobs", "checkpoints", "caches", "deployments"):
                (root / name).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(root, error) from error
        yield DataDir(root)
    finally:
        os.close(descriptor)


def _check_format(root: Path) -> None:
    path = root / "format"
    written = _read(path)
    if written is None:
        replace_file(path, f"{FORMAT}\n")
    elif not written.isdigit() or int(written) > FORMAT:
        raise LocalPlatformError(
            f"{root} was written by a newer release (format {written}; this one knows {FORMAT}).",
            hint="Upgrade truss-train-core, or use another --data-dir.",
        )


def _kept(path: Path, text: str) -> str:
    if _read(path) != text:
        replace_file(path, f"{text}\n")
    return text


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None


def _unusable(root: Path, error: OSError) -> LocalPlatformError:
    if error.errno in NO_SPACE:
        return LocalPlatformError(
            f"The disk that holds {root} is full.", hint="Free some space, or use another --data-dir."
        )
    return LocalPlatformError(
        f"{root} cannot be used as data directory: {error.strerror or error}.", hint="Use another --data-dir."
    )
