"""Bodies in AWS's own chunks: `size;chunk-signature=…` lines between the data, checksums in a trailer at the end.

Clients send them where `x-amz-content-sha256` begins with "STREAMING-". The signatures of chunks are not checked: the
session token that comes along is.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field

_LONGEST_LINE = 4096


class Malformed(ValueError):
    """The body is not in aws-chunks, or ends in the middle of one."""


@dataclass
class Decoder:
    """Decodes one body; `trailer` is complete when `decode` is exhausted."""

    trailer: dict[str, str] = field(default_factory=dict)
    _buffer: bytearray = field(default_factory=bytearray)

    async def decode(self, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The data in `body`, holding no more of it than one of its pieces.

        Raises:
            Malformed: see there.
        """
        source = aiter(body)
        while size := self._size(await self._line(source)):
            while size:
                if not self._buffer:
                    await self._fill(source)
                piece = bytes(self._buffer[:size])
                del self._buffer[: len(piece)]
                size -= len(piece)
                yield piece
            if await self._line(source):
                raise Malformed("a chunk is longer than it says")
        while line := await self._line(source):
            name, _, value = line.partition(b":")
            self.trailer[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()

    @staticmethod
    def _size(line: bytes) -> int:
        try:
            return int(line.partition(b";")[0], 16)
        except ValueError:
            raise Malformed("a chunk does not begin with its size") from None

    async def _line(self, source: AsyncIterator[bytes]) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LONGEST_LINE:
                raise Malformed("a line between chunks does not end")
            await self._fill(source)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def _fill(self, source: AsyncIterator[bytes]) -> None:
        try:
            self._buffer += await anext(source)
        except StopAsyncIteration:
            raise Malformed("the body ends in the middle of a chunk") from None
