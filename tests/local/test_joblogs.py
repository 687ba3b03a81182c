from __future__ import annotations

import itertools
import json
import random
import time
from pathlib import Path

import pytest

from truss_train_core.api.models import LogLine
from truss_train_core.local import joblogs
from truss_train_core.local.joblogs import LogWriter, level_of, read_window

MS = 1_000_000
LEVELS = [None, "DEBUG", "INFO", "WARNING", "ERROR"]


def write(directory: Path, rank: int, lines: list[tuple[int, str | None, str]]) -> None:
    path = joblogs.path_of(directory, rank)
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        for stamp, level, text in lines:
            record = {"timestamp": str(stamp), "replica": f"g00r{rank}", "level": level, "message": text + "\n"}
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def told(lines: list[LogLine]) -> list[tuple[int, str | None, str | None, str]]:
    return [(int(line.timestamp), line.replica, line.level, line.message) for line in lines]


def test_what_is_written_is_read_back_with_replica_level_and_rising_nanoseconds(tmp_path: Path) -> None:
    before = time.time_ns()
    log = LogWriter(tmp_path, 3)
    log.notice("ready")
    log.output(["plain", "ERROR: broken", 'a "quoted" \\ ünicode\x00 line'])

    lines = read_window(tmp_path, limit=10)

    assert [line.message for line in lines] == [
        "ready\n",
        "plain\n",
        "ERROR: broken\n",
        'a "quoted" \\ ünicode\x00 line\n',
    ]
    assert [line.level for line in lines] == ["INFO", None, "ERROR", None]
    assert {line.replica for line in lines} == {"g00r3"}
    stamps = [int(line.timestamp) for line in lines]
    assert before <= stamps[0]
    assert all(earlier < later for earlier, later in itertools.pairwise(stamps))
    assert log.tail().splitlines()[:2] == ["plain", "ERROR: broken"]


def test_a_second_writer_of_a_log_does_not_go_back_in_time(tmp_path: Path) -> None:
    future = time.time_ns() + 10**12
    write(tmp_path, 0, [(future, None, "of a clock that was set back since")])

    LogWriter(tmp_path, 0).notice("later")

    assert [line.message for line in read_window(tmp_path, limit=9)][-1] == "later\n"
    assert future < int(read_window(tmp_path, limit=9)[-1].timestamp) < future + MS


@pytest.mark.parametrize("seed", range(30))
def test_any_window_is_what_sorting_and_filtering_all_lines_gives(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    every = []
    for rank in range(chance.choice([1, 2, 4])):
        stamp, lines = 1_700_000_000_000 * MS, []
        for number in range(chance.choice([0, 1, 40])):
            stamp += chance.choice([1, 999, MS, 7 * MS])
            lines.append((stamp, chance.choice(LEVELS), f"{number} " + "x" * chance.choice([0, 10, 70_000])))
        write(tmp_path, rank, lines)
        every += [(stamp, f"g00r{rank}", level, text + "\n") for stamp, level, text in lines]
    every.sort()
    for _ in range(20):
        start, end = (chance.choice([None, 1_700_000_000_000 + chance.randrange(-5, 200)]) for _ in range(2))
        limit, descending = chance.choice([1, 7, 1000]), chance.random() < 0.5
        minimum = chance.choice(LEVELS)
        wanted = [
            line
            for line in every
            if (start is None or line[0] >= start * MS)
            and (end is None or line[0] < end * MS)
            and (minimum is None or (line[2] is not None and LEVELS.index(line[2]) >= LEVELS.index(minimum)))
        ]

        got = read_window(tmp_path, start_ms=start, end_ms=end, descending=descending, limit=limit, min_level=minimum)

        assert told(got) == (wanted[::-1] if descending else wanted)[:limit]


def test_windows_side_by_side_neither_repeat_nor_lose_a_line(tmp_path: Path) -> None:
    base = 1_700_000_000_000
    write(tmp_path, 0, [(base * MS + offset, None, str(offset)) for offset in (0, MS - 1, MS, MS + 1, 2 * MS - 1)])

    first = read_window(tmp_path, start_ms=base, end_ms=base + 1, limit=10)
    second = read_window(tmp_path, start_ms=base + 1, end_ms=base + 2, limit=10)

    assert [line.message for line in first] == ["0\n", "999999\n"]
    assert [line.message for line in second] == ["1000000\n", "1000001\n", "1999999\n"]


@pytest.mark.parametrize("descending", [False, True])
def test_unfinished_and_damaged_lines_are_skipped(tmp_path: Path, descending: bool) -> None:
    write(tmp_path, 0, [(10**18, None, "first")])
    with joblogs.path_of(tmp_path, 0).open("a") as file:
        file.write('{"timestamp":"1000000000\n\n{"timestamp":"nonsense","message":"x"}\n')
    write(tmp_path, 0, [(10**18 + 5, None, "second")])
    with joblogs.path_of(tmp_path, 0).open("a") as file:
        file.write('{"timestamp":"1000000000000000009","replica":"g00r0","level":null,"mess')

    messages = [line.message for line in read_window(tmp_path, start_ms=1, limit=10, descending=descending)]

    assert messages == (["second\n", "first\n"] if descending else ["first\n", "second\n"])


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert read_window(tmp_path, limit=10) == []


def test_a_full_disk_loses_lines_and_says_so_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogWriter(tmp_path, 0)
    real_write, room = joblogs.os.write, [5]

    def write_to_full_disk(file: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = real_write(file, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(joblogs.os, "write", write_to_full_disk)
    log.output(["torn", "lost"])
    log.output(["lost too"])
    monkeypatch.setattr(joblogs.os, "write", real_write)
    log.output(["there is room again"])

    assert [line.message for line in read_window(tmp_path, limit=10)] == [
        "3 lines before this one are missing: the disk was full.\n",
        "there is room again\n",
    ]


def test_a_window_of_a_million_lines_is_found_at_once(tmp_path: Path) -> None:
    path, base = joblogs.path_of(tmp_path, 0), 1_700_000_000_000
    path.parent.mkdir()
    with path.open("w") as file:
        file.writelines(
            f'{{"timestamp":"{base * MS + number * MS}","replica":"g00r0","level":null,"message":"{number}\\n"}}\n'
            for number in range(1_000_000)
        )
    began = time.perf_counter()

    middle = read_window(tmp_path, start_ms=base + 600_000, end_ms=base + 700_000, limit=1000)
    newest = read_window(tmp_path, end_ms=base + 700_000, limit=1000, descending=True)
    none = read_window(tmp_path, start_ms=base + 2_000_000, limit=1000)

    assert time.perf_counter() - began < 1.0
    assert [line.message for line in middle] == [f"{number}\n" for number in range(600_000, 601_000)]
    assert [line.message for line in newest] == [f"{number}\n" for number in range(699_999, 698_999, -1)]
    assert none == []


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("INFO:root:starting", "INFO"),
        ("[WARNING|trainer.py:816] 2026-01-01 12:00:00,123 >> careful", "WARNING"),
        ("2026-01-01 12:00:00,123 - train - ERROR - it broke", "ERROR"),
        ("2026-01-01T12:00:00.123 | DEBUG    | train:step:1 - deep", "DEBUG"),
        ("12:00:00 WARN low", "WARNING"),
        ("INFO 01-02 12:00:00 [api_server.py:1] ready", "INFO"),
        ("CRITICAL: gone", "ERROR"),
        ('{"level": "warn", "message": "careful"}', "WARNING"),
        ('{"severity": "ERROR", "message": "it broke"}', "ERROR"),
        ('{"loss": 0.5, "level": 3}', None),
        ("{'loss': 0.5}", None),
        ("ERRORS: none", None),
        ("loss 0.5, no ERROR so far", None),
        ("Traceback (most recent call last):", None),
        ("", None),
    ],
)
def test_levels_are_read_from_common_layouts_only(line: str, level: str | None) -> None:
    assert level_of(line) == level
