"""Any window of a log, by line number: where each line begins, so that a million of them need not be read.

Lines are numbered as they are found: those of one look in the order of their timestamps, those of a later look after
them. So a number means the same line for as long as the index lives, and a window costs as many reads as it has lines.
"""

from __future__ import annotations

import heapq
import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from truss_train_core.api.models import LogLine
from truss_train_core.local import joblogs

_KEPT_FILTERS = 4
_KEPT_LINES = 10_000_000
"""Lines of all indexes together: about 110 MB. Beyond, those that were not looked at for longest are forgotten."""


@dataclass(frozen=True)
class Filter:
    """Which lines are wanted.

    Attributes:
        rank: of this replica; None for all.
        level: of at least this level, counted as `joblogs.scan` does; 0 for all, with those that have none.
        text: that contain this, in upper or lower case; "" for all.
    """

    rank: int | None = None
    level: int = 0
    text: str = ""


EVERYTHING = Filter()


@dataclass(frozen=True)
class Line:
    """A line of a window; `number` counts from 0 over the whole log."""

    number: int
    line: LogLine


@dataclass
class _Selection:
    """The numbers of the lines that a filter lets through, among the first `seen`."""

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    seen: int = 0


class LogIndex:
    """The lines of all replicas of the job or deployment in `directory`. May be used by several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets = array("Q")
        self._ranks = array("H")
        self._levels = array("B")
        self._ends: dict[int, int] = {}
        self._selections: OrderedDict[Filter, _Selection] = OrderedDict()
        self._growing = threading.Lock()
        self._selecting = threading.Lock()  # a search takes its time, and what is new need not wait for it

    def refresh(self) -> int:
        """Take in what was written since, and return how many lines there are."""
        with self._growing:
            for _, rank, begin, end, level in heapq.merge(*map(self._new_lines, joblogs.ranks_in(self._directory))):
                self._offsets.append(begin)
                self._ranks.append(rank)
                self._ends[rank] = end
                self._levels.append(level)
            return len(self)

    def __len__(self) -> int:
        return len(self._levels)  # of each line, the level is noted last

    def ranks(self) -> Sequence[int]:
        """The replicas that have written something."""
        with self._growing:
            return sorted(self._ends)

    def window(self, start: int, count: int, chosen: Filter = EVERYTHING) -> tuple[int, int, list[Line]]:
        """Lines from place `start` on among those that the filter lets through.

        Args:
            start: below 0 it counts from the end.
            count: the most lines to return.
            chosen: which lines count.

        Returns:
            How many lines the filter lets through, the place of the first one returned, and the lines.
        """
        if chosen == EVERYTHING:
            numbers: Sequence[int] = range(len(self))
        else:
            with self._selecting:
                numbers = self._select(chosen)
        start = max(0, len(numbers) + start) if start < 0 else start
        return len(numbers), start, self._read(numbers[start : start + count])

    def _new_lines(self, rank: int) -> Iterator[tuple[int, int, int, int, int]]:
        path = joblogs.path_of(self._directory, rank)
        for timestamp, begin, end, level in joblogs.scan(path, self._ends.get(rank, 0)):
            yield timestamp, rank, begin, end, level

    def _select(self, chosen: Filter) -> array[int]:
        selection = self._selections.setdefault(chosen, _Selection())
        self._selections.move_to_end(chosen)
        if len(self._selections) > _KEPT_FILTERS:
            self._selections.popitem(last=False)
        fresh = range(selection.seen, len(self))
        matching = [
            number
            for number in fresh
            if self._levels[number] >= chosen.level and (chosen.rank is None or self._ranks[number] == chosen.rank)
        ]
        selection.numbers.extend(self._containing(chosen.text, matching) if chosen.text else matching)
        selection.seen = fresh.stop
        return selection.numbers

    def _containing(self, text: str, numbers: Sequence[int]) -> list[int]:
        contains = joblogs.containing(text)
        return [number for number, line in self._lines(numbers) if contains(line)]

    def _read(self, numbers: Sequence[int]) -> list[Line]:
        return [Line(number, joblogs.parse(line)) for number, line in self._lines(numbers)]

    def _lines(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}
            for number in numbers:
                rank = self._ranks[number]
                if rank not in files:
                    files[rank] = stack.enter_context(joblogs.path_of(self._directory, rank).open("rb"))
                files[rank].seek(self._offsets[number])
                yield number, files[rank].readline()


class LogIndexes:
    """The indexes of the logs that were looked at lately."""

    def __init__(self) -> None:
        self._indexes: OrderedDict[Hashable, LogIndex] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, directory: Path) -> LogIndex:
        """The index of the log of the job or deployment in `directory`."""
        with self._lock:
            index = self._indexes.setdefault(directory, LogIndex(directory))
            self._indexes.move_to_end(directory)
            while len(self._indexes) > 1 and sum(map(len, self._indexes.values())) > _KEPT_LINES:
                self._indexes.popitem(last=False)
            return index
