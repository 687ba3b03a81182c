"""Unpack the archives of a job into a working directory, and nowhere else."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from truss_train_core.errors import LocalPlatformError

_DAMAGED = (tarfile.ReadError, EOFError, zlib.error)


def unpack(archives: Iterable[Path], directory: Path, *, between_files: Callable[[], None] = lambda: None) -> int:
    """Unpack tar files, compressed or not, into `directory`, and return the number of files.

    A later archive replaces files of an earlier one. Links are kept where they point inside `directory`. Owners are
    dropped, permissions kept as far as they are harmless (the standard library's "data" filter). `between_files` is
    called before each file; what it raises ends the work.

    Raises:
        LocalPlatformError: an archive is damaged, or holds something unsafe: an absolute path, one that leads out of
            the directory, a link to something outside, a device.
        OSError: the disk is full, or an archive is missing.
    """
    if not hasattr(tarfile, "data_filter"):
        raise LocalPlatformError(
            "This Python cannot unpack archives safely.", hint="Use Python 3.10.12, 3.11.4, 3.12 or newer."
        )
    count = 0
    for archive in archives:
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    between_files()
                    tar.extract(member, directory, filter="data")
                    count += not member.isdir()
        except tarfile.FilterError as error:
            raise LocalPlatformError(
                f"The archive {archive.name} is not unpacked: {error}.",
                hint="Put a copy in place of the link, or push with truss-train, which does.",
            ) from error
        except _DAMAGED as error:
            raise LocalPlatformError(
                f"The archive {archive.name} is damaged or not a tar file: {error}", hint="Push the job again."
            ) from error
    return count
