"""A package as a stream of tar bytes, in bounded memory.

The archive is an uncompressed PAX tar, which is what the current client sends although the key it is stored under ends
in `.tgz`. It depends on names, contents and executable bits alone, not on who packs them or when: the same tree gives
the same bytes on every machine.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from functools import cache

from truss_train_core.errors import PackageError
from truss_train_core.package.gather import Package, PackagedFile

CHUNK_SIZE = 1024**2

# 2000-01-01, not 1970: zip files, and so wheels built from these sources, know no time before 1980 in any time zone.
_TIMESTAMP = 946_684_800
_END = bytes(2 * tarfile.BLOCKSIZE)
_SIZE_FIELD, _CHECKSUM_FIELD = slice(124, 136), slice(148, 156)


def archive(package: Package) -> Iterator[bytearray]:
    """The archive, in chunks of `CHUNK_SIZE` bytes and a shorter last one; each is the receiver's own.

    Raises:
        PackageError: while iterating, if a file vanished or was written to since it was looked at.
    """
    chunks = _Chunks()
    for file in package.files:
        yield from chunks.fill(_header(file))
        yield from chunks.fill(file.content) if file.content is not None else _read(file, chunks)
        yield from chunks.fill(bytes(_padding(file.size, tarfile.BLOCKSIZE)))
    yield from chunks.fill(_END)
    yield from chunks.fill(bytes(_padding(chunks.length, tarfile.RECORDSIZE)))
    yield from chunks.rest()


def archive_size(package: Package) -> int:
    """Bytes of the whole archive."""
    members = sum(_header_size(file) + file.size + _padding(file.size, tarfile.BLOCKSIZE) for file in package.files)
    return members + len(_END) + _padding(members + len(_END), tarfile.RECORDSIZE)


class _Chunks:
    """One chunk after the other, each filled from its front to its end. What is read goes right to its place.

    Attributes:
        length: bytes that were filled in so far.
    """

    def __init__(self) -> None:
        self.length = 0
        self._begin()

    def _begin(self) -> None:
        self._chunk = bytearray(CHUNK_SIZE)
        self._room = memoryview(self._chunk)

    def fill(self, piece: bytes) -> Iterator[bytearray]:
        """Add a piece; yields the chunks that become full."""
        while piece:
            here, piece = piece[: len(self._room)], piece[len(self._room) :]
            self._room[: len(here)] = here
            yield from self._filled(len(here))

    def read(self, content: int, size: int) -> Iterator[bytearray]:
        """Add what a file descriptor still holds, `size` bytes at most; yields the chunks that become full."""
        while size and (read := os.readv(content, [self._room[:size]])):
            size -= read
            yield from self._filled(read)

    def _filled(self, size: int) -> Iterator[bytearray]:
        self.length += size
        self._room = self._room[size:]
        if not self._room:
            yield self._chunk
            self._begin()

    def rest(self) -> Iterator[bytearray]:
        """The last chunk, if there is anything in it."""
        if filled := len(self._chunk) - len(self._room):
            yield self._chunk[:filled]


def _read(file: PackagedFile, chunks: _Chunks) -> Iterator[bytearray]:
    before = chunks.length
    try:
        content = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)  # without the objects that open() puts around it
        try:
            yield from chunks.read(content, file.size)
            status = os.fstat(content)
        finally:
            os.close(content)
    except OSError as error:
        raise PackageError(f"{file.source} could not be archived: {error.strerror}.") from error
    read = chunks.length - before
    if (read, status.st_size, status.st_mtime_ns) != (file.size, file.size, file.modified_ns):
        raise PackageError(
            f"{file.source} changed while it was being archived.", hint="Push again when nothing writes to it."
        )


def _header(file: PackagedFile) -> bytes:
    """A member's header. One that fits into a block is filled in here, which takes a tenth of the time."""
    if not _is_plain(file):
        return _any_header(file.arcname, file.size, file.mode)
    block, checksum = _plain_block(file.mode)
    name, size = file.arcname.encode(), b"%011o\0" % file.size
    header = bytearray(block)
    header[: len(name)] = name
    header[_SIZE_FIELD] = size
    header[_CHECKSUM_FIELD] = b"%06o\0 " % (checksum + sum(name) + sum(size))
    return bytes(header)


def _header_size(file: PackagedFile) -> int:
    return tarfile.BLOCKSIZE if _is_plain(file) else len(_any_header(file.arcname, file.size, file.mode))


def _is_plain(file: PackagedFile) -> bool:
    """Whether name and size fit into the fields of a header that is as old as tar."""
    return len(file.arcname) <= tarfile.LENGTH_NAME and file.arcname.isascii() and file.size < 8**11


@cache
def _plain_block(mode: int) -> tuple[bytes, int]:
    """The header of a member without name and size, and its checksum, which counts its own field as blanks."""
    block = bytearray(_any_header("", 0, mode))
    block[_SIZE_FIELD] = bytes(12)
    block[_CHECKSUM_FIELD] = b" " * 8
    return bytes(block), sum(block)


def _any_header(name: str, size: int, mode: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, _TIMESTAMP
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int, block: int) -> int:
    return -size % block
