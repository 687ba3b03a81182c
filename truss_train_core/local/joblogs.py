"""Log files: one per replica, one JSON object per line, in strictly rising order of their timestamps.

The order and the fixed place of the timestamp let a reader find a moment by bisection over byte offsets, so a window of
a file of gigabytes costs a few reads. A line that is not complete yet is not there yet.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter

from truss_train_core.api.clock import Clock
from truss_train_core.api.models import LogLine

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""Levels that a line may have, lowest first (OpenAPI)."""

_LOG_DIRECTORY = "logs"
_STAMP = b'{"timestamp":"'
_LEVEL_FIELD = b'"level":'
_MESSAGE_FIELD = b',"message":'
_NO_LEVEL = b'"level":null'
_LEVEL_NUMBERS = {f'"{level}"'.encode(): number for number, level in enumerate(LEVELS, 1)}
_BLOCK = 1 << 16
_TAIL_LINES = 20
_MILLISECOND = 1_000_000
_APART = 2_000
"""Nanoseconds between two lines of a replica. So a millisecond holds fewer than the API hands out at once, and a reader
who asks by milliseconds can get at all of them."""


def replica_of(rank: int) -> str:
    """A node's name in logs: "g00r0" for the leader (seen on the wire)."""
    return f"g00r{rank}"


def path_of(directory: Path, rank: int) -> Path:
    """Where the log of one rank is, in a job's or a deployment's directory."""
    return directory / _LOG_DIRECTORY / f"{replica_of(rank)}.jsonl"


class LogWriter:
    """Appends to the log of one replica; may be used by several threads.

    A full disk loses lines rather than the job: nobody waits for room. When there is room again, a line says how many.
    """

    def __init__(self, directory: Path, rank: int) -> None:
        path = path_of(directory, rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._replica = replica_of(rank)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._clock = Clock()
        self._last_timestamp = _last_timestamp(path)
        self._torn = False
        self._lost = 0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def notice(self, text: str, level: str = "INFO") -> None:
        """A line of the platform's own."""
        with self._lock:
            self._append([self._line(text + "\n", level)])

    def output(self, lines: Iterable[str]) -> None:
        """Lines that the replica's processes wrote, without their ends."""
        with self._lock:
            fresh = list(lines)
            self._tail.extend(fresh)
            self._append([self._line(line + "\n", level_of(line)) for line in fresh])

    def tail(self) -> str:
        """The last lines of output, to be quoted in an error message."""
        with self._lock:
            return "\n".join(self._tail)

    def close(self) -> None:
        os.close(self._file)

    def _line(self, message: str, level: str | None) -> bytes:
        self._last_timestamp = max(int(self._clock.now() * 1e9), self._last_timestamp + _APART)
        return (
            f'{{"timestamp":"{self._last_timestamp}","replica":"{self._replica}",'
            f'"level":{json.dumps(level)},"message":{json.dumps(message)}}}\n'
        ).encode()

    def _append(self, lines: list[bytes]) -> None:
        missing = []
        if self._lost:
            missing = [self._line(f"{self._lost} lines before this one are missing: the disk was full.\n", "WARNING")]
        data = (b"\n" if self._torn else b"") + b"".join(missing + lines)
        try:
            while data:
                data = data[os.write(self._file, data) :]
                self._torn = True
        except OSError:
            self._lost += len(lines)
        else:
            self._torn, self._lost = False, 0


def read_window(
    directory: Path,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    descending: bool = False,
    limit: int,
    min_level: str | None = None,
) -> list[LogLine]:
    """Lines of all replicas of the job or deployment in `directory`, merged by timestamp.

    Args:
        directory: the job's or deployment's directory.
        start_ms: milliseconds since the epoch of the first moment that is wanted; None for the beginning.
        end_ms: milliseconds since the epoch of the first moment that is no longer wanted, so that windows side by side
            neither repeat nor lose a line; None for the end.
        descending: newest first; `limit` then keeps the newest.
        limit: the most lines to return.
        min_level: the lowest level that is wanted; a line without a level is then left out (OpenAPI).
    """
    start = None if start_ms is None else start_ms * _MILLISECOND
    end = None if end_ms is None else end_ms * _MILLISECOND
    replicas = [
        _read_replica(path, start, end, descending=descending, min_level=min_level)
        for path in sorted((directory / _LOG_DIRECTORY).glob("*.jsonl"))
    ]
    merged = heapq.merge(*replicas, key=_position, reverse=descending)
    return list(islice(merged, limit))


def ranks_in(directory: Path) -> list[int]:
    """The ranks that have a log in a job's or a deployment's directory, in their order."""
    names = (path.stem for path in (directory / _LOG_DIRECTORY).glob("*.jsonl"))
    return sorted(int(name.removeprefix("g00r")) for name in names)


def scan(path: Path, start: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """The complete lines of one log, without what they say: timestamp, begin and end in the file, and level.

    The level is 1 for the first of `LEVELS` and so on, and 0 for a line without one. Damaged lines are left out.

    Args:
        path: the log of one replica.
        start: where a line begins: the end of the last one of an earlier scan.
    """
    with path.open("rb") as file:
        for line in _forward(file, start, _complete_size(file)):
            begin, start = start, start + len(line)
            timestamp = _timestamp(line)
            if timestamp is not None:
                yield timestamp, begin, start, _level_number(line)


parse: Callable[[bytes], LogLine] = TypeAdapter(LogLine).validate_json
"""A line of a log file."""


def containing(text: str) -> Callable[[bytes], bool]:
    """Whether the message of a line of a log file contains a text, in upper or lower case."""
    wanted = json.dumps(text)[1:-1].lower().encode()  # as the file spells it

    def contains(line: bytes) -> bool:
        return line.lower().find(wanted, line.index(_MESSAGE_FIELD) + len(_MESSAGE_FIELD)) >= 0

    return contains


def level_of(line: str) -> str | None:
    """The level that a line of output says it has, in JSON or in one of the common layouts; else None."""
    if line.startswith("{"):
        return _level_in_json(line)
    match = _LEVEL.match(line)
    return _normal_level(match["level"]) if match else None


_LEVEL = re.compile(
    r"""
    [\s\[(<]*                                       # [INFO|trainer.py:12] …    INFO:root:…
    (?: (?:\d{4}-\d\d-\d\d|\d\d:\d\d).{0,60}?[\s\[|:(-] )?   # 2026-01-01 12:00:00,123 - name - INFO - …
    (?P<level> DEBUG | INFO | WARN(?:ING)? | ERROR | CRITICAL | FATAL )
    (?: [\s\])|:>-] | $ )
    """,
    re.VERBOSE,
)


def _level_in_json(line: str) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    names = ("level", "levelname", "severity", "log_level")
    return next((_normal_level(record[name]) for name in names if isinstance(record.get(name), str)), None)


def _normal_level(text: str) -> str | None:
    text = text.upper()
    text = {"WARN": "WARNING", "CRITICAL": "ERROR", "FATAL": "ERROR"}.get(text, text)
    return text if text in LEVELS else None


def _position(line: LogLine) -> tuple[int, str]:
    return int(line.timestamp), line.replica or ""


def _read_replica(
    path: Path, start: int | None, end: int | None, *, descending: bool, min_level: str | None
) -> Iterator[LogLine]:
    wanted = LEVELS[LEVELS.index(min_level) :] if min_level else None
    with path.open("rb") as file:
        size = _complete_size(file)
        first = 0 if start is None else _offset_of(file, size, start)
        last = size if end is None else _offset_of(file, size, end)
        lines = _backward(file, first, last) if descending else _forward(file, first, last)
        for line in lines:
            if _timestamp(line) is None or (wanted and _NO_LEVEL in line):
                continue
            parsed = parse(line)
            if wanted is None or parsed.level in wanted:
                yield parsed


def _offset_of(file: BinaryIO, size: int, timestamp: int) -> int:
    """Offset of the first line that is not older than `timestamp`; `size` where there is none.

    `low` is always the start of a line, and all lines before it are older; the first line that starts at `high` or
    later is not.
    """
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        start, found = _stamped_line_from(file, middle)
        if found is None or start >= high or found >= timestamp:
            high = middle
        else:
            low = file.tell()
    return low


def _stamped_line_from(file: BinaryIO, offset: int) -> tuple[int, int | None]:
    """Start and timestamp of the first undamaged line that starts at `offset` or later; the file is then at its end."""
    file.seek(max(offset - 1, 0))
    if offset:
        file.readline()
    while True:
        start = file.tell()
        line = file.readline()
        timestamp = _timestamp(line)
        if timestamp is not None or not line:
            return start, timestamp


def _timestamp(line: bytes) -> int | None:
    if not line.startswith(_STAMP):
        return None
    digits, quote, _ = line[len(_STAMP) : len(_STAMP) + 32].partition(b'"')
    return int(digits) if quote and digits.isdigit() and line.endswith(b"}\n") else None


def _level_number(line: bytes) -> int:
    start = line.index(_LEVEL_FIELD) + len(_LEVEL_FIELD)
    return _LEVEL_NUMBERS.get(line[start : line.index(b",", start)], 0)


def _last_timestamp(path: Path) -> int:
    with path.open("rb") as file:
        return next(filter(None, map(_timestamp, _backward(file, 0, _complete_size(file)))), 0)


def _complete_size(file: BinaryIO) -> int:
    """Size of the file without a last line that is still being written."""
    position = file.seek(0, os.SEEK_END)
    while position:
        begin = max(position - _BLOCK, 0)
        file.seek(begin)
        newline = file.read(position - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        position = begin
    return 0


def _forward(file: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    file.seek(first)
    position = first
    while position < last and (line := file.readline()):
        position += len(line)
        yield line


def _backward(file: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    rest, position = b"", last
    while position > first:
        begin = max(position - _BLOCK, first)
        file.seek(begin)
        rest = file.read(position - begin) + rest
        lines = rest.splitlines(keepends=True)
        position = begin
        if position > first:
            rest = lines.pop(0)
        yield from reversed(lines)
