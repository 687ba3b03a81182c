from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from running_jobs import wait_for

from truss_train_core.local.joblogs import LogWriter, read_window
from truss_train_core.local.processes.log_capture import LONGEST_LINE, LineSplitter, LogPump, masking


def split(data: bytes, chunk: int = 1 << 16) -> list[str]:
    splitter = LineSplitter(flush_after=1.0)
    lines = []
    for start in range(0, len(data), chunk):
        lines += splitter.feed(data[start : start + chunk], now=0.0)
    return lines + splitter.finish()


@pytest.mark.parametrize("seed", range(20))
def test_lines_do_not_depend_on_how_the_bytes_arrive(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choice(["a", "é", "\n", "\r", "\r\n", "日"]) for _ in range(300))
    data = text.encode()

    assert split(data, chunk=chance.randrange(1, 20)) == split(data)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"dos\r\n\r\n", ["dos", ""]),
        (b"no end", ["no end"]),
        (b" 10%\r 50%\r100%\ndone\n", ["100%", "done"]),
        (b"\xff\xfe bad\n", ["\ufffd\ufffd bad"]),
        (b"", []),
    ],
)
def test_lines_are_what_a_terminal_would_show(data: bytes, lines: list[str]) -> None:
    assert split(data) == lines


def test_a_long_line_is_cut_between_characters() -> None:
    text = "x" + "日" * LONGEST_LINE

    pieces = split(text.encode() + b"\nnext\n", chunk=1000)

    assert "".join(pieces[:-1]) == text
    assert pieces[-1] == "next"
    assert all(len(piece.encode()) <= LONGEST_LINE for piece in pieces)


def test_an_unfinished_line_is_given_out_when_it_has_waited() -> None:
    splitter = LineSplitter(flush_after=1.0)
    assert splitter.feed(b"first\nprogress 1%\rprogress 2%", now=10.0) == ["first"]
    assert splitter.feed(b"\rprogress 3%", now=10.8) == []

    assert splitter.overdue(now=10.9) == []
    assert splitter.overdue(now=11.0) == ["progress 3%"]
    assert splitter.overdue(now=20.0) == []
    assert splitter.feed(b"more\n", now=20.0) == ["more"]


@pytest.mark.parametrize(
    ("secrets", "line", "shown"),
    [
        (["hunter2"], "key hunter2, again hunter2", "key ***, again ***"),
        (["hunter2", "hunter2-long"], "hunter2-long", "***"),
        (["a.b*c+d"], "a.b*c+d aXbbc+d", "*** aXbbc+d"),
        (["-----BEGIN-----\nMIIEvQIBADAN\n"], "MIIEvQIBADAN", "***"),
        (["short"], "a short word", "a short word"),
        ([], "nothing", "nothing"),
    ],
)
def test_secrets_are_masked(secrets: list[str], line: str, shown: str) -> None:
    assert masking(secrets)(line) == shown


def test_the_pump_writes_each_pipe_to_its_log_as_it_comes(tmp_path: Path) -> None:
    pump = LogPump([LogWriter(tmp_path, 0), LogWriter(tmp_path, 1)], flush_after=0.1)
    pump.start()

    os.write(pump.outputs[0], b"live\npar")
    wait_for(lambda: len(read_window(tmp_path, limit=9)) == 2, "a line and a part")
    os.write(pump.outputs[1], b"last words")
    pump.finish()

    messages = [(line.replica, line.message) for line in read_window(tmp_path, limit=9)]
    assert messages == [("g00r0", "live\n"), ("g00r0", "par\n"), ("g00r1", "last words\n")]


def test_a_pipe_that_stays_open_does_not_hold_up_the_end(tmp_path: Path) -> None:
    pump = LogPump([LogWriter(tmp_path, 0)], flush_after=0.1)
    pump.start()
    held = os.dup(pump.outputs[0])
    os.write(held, b"said\n")
    began = time.monotonic()

    pump.finish(patience=0.3)

    assert time.monotonic() - began < 5
    assert [line.message for line in read_window(tmp_path, limit=9)] == ["said\n"]
    os.close(held)
