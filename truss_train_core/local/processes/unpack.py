"""Unpack the archives of a job into a working directory, and nowhere else."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from truss_train_core.errors import LocalPlatformError

TOO_MANY = 200_000
"""Members of an archive: what holds so many was made to fill disk and memory, or belongs elsewhere."""

_DAMAGED = (tarfile.ReadError, EOFError, zlib.error)


class _Unsafe(Exception):
    """A member that is not unpacked, where Python has no filter that says so."""


_HAS_FILTER = hasattr(tarfile, "data_filter")  # since 3.10.12 and 3.11.4
_UNSAFE: tuple[type[Exception], ...] = (tarfile.FilterError if _HAS_FILTER else _Unsafe,)


def unpack(archives: Iterable[Path], directory: Path, *, between_files: Callable[[], None] = lambda: None) -> int:
    """Unpack tar files, compressed or not, into `directory`, and return the number of files.

    A later archive replaces files of an earlier one. Links are kept where they point inside `directory`. Owners are
    dropped, permissions kept as far as they are harmless (the standard library's "data" filter). `between_files` is
    called before each file; what it raises ends the work.

    Raises:
        LocalPlatformError: an archive is damaged, has `TOO_MANY` members or more, or holds something unsafe: an
            absolute path, one that leads out of the directory, a link to something outside, a device.
        OSError: the disk is full, or an archive is missing.
    """
    count = 0
    for archive in archives:
        try:
            with tarfile.open(archive) as tar:
                for number, member in enumerate(tar, 1):
                    if number >= TOO_MANY:
                        raise LocalPlatformError(
                            f"The archive {archive.name} is not unpacked: it has {TOO_MANY:,} members or more.",
                            hint="Pack data into fewer files, or let the job fetch them.",
                        )
                    between_files()
                    _extract(tar, member, directory)
                    count += not member.isdir()
        except _UNSAFE as error:
            raise LocalPlatformError(
                f"The archive {archive.name} is not unpacked: {error}.",
                hint="Put a copy in place of the link, or push with truss-train, which does.",
            ) from error
        except _DAMAGED as error:
            raise LocalPlatformError(
                f"The archive {archive.name} is damaged or not a tar file: {error}", hint="Push the job again."
            ) from error
    return count


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    if _HAS_FILTER:
        tar.extract(member, directory, filter="data")
    else:
        _extract_plainly(tar, member, directory)


def _extract_plainly(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    """For a Python without filters: files and directories alone, so that no link can lead a later one elsewhere."""
    parts = PurePosixPath(member.name).parts
    if not (member.isreg() or member.isdir()):
        raise _Unsafe(f"{member.name!r} is neither a file nor a directory")
    if member.name.startswith("/") or ".." in parts:
        raise _Unsafe(f"{member.name!r} lies outside of the working directory")
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    member.mode = (member.mode & 0o755) | 0o600
    tar.extract(member, directory)
