from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from truss_train_core.local.joblogs import LogWriter, path_of
from truss_train_core.local.pages.log_index import EVERYTHING, Filter, LogIndex


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[list[LogWriter]]:
    writers = [LogWriter(tmp_path, rank) for rank in range(2)]
    yield writers
    for writer in writers:
        writer.close()


def messages(index: LogIndex, chosen: Filter = EVERYTHING, start: int = 0, count: int = 100) -> list[str]:
    return [each.line.message.rstrip("\n") for each in index.window(start, count, chosen)[2]]


def test_lines_of_all_nodes_are_in_the_order_of_time(tmp_path: Path, writers: list[LogWriter]) -> None:
    for number in range(6):
        writers[number % 2].output([str(number)])
    index = LogIndex(tmp_path)

    assert index.refresh() == 6
    assert messages(index) == list("012345")
    assert messages(index, Filter(rank=1)) == list("135")
    assert list(index.ranks()) == [0, 1]


def test_a_number_means_the_same_line_for_good(tmp_path: Path, writers: list[LogWriter]) -> None:
    index = LogIndex(tmp_path)
    writers[1].output(["first"])
    index.refresh()
    before = index.window(0, 1)
    writers[0].output(["second"])
    index.refresh()

    assert index.window(0, 1)[2] == before[2]
    assert messages(index) == ["first", "second"]


def test_what_is_not_complete_or_damaged_is_not_a_line(tmp_path: Path, writers: list[LogWriter]) -> None:
    writers[0].output(["whole"])
    with path_of(tmp_path, 0).open("a") as file:
        file.write('{"timestamp":"1')
    index = LogIndex(tmp_path)

    assert index.refresh() == 1
    with path_of(tmp_path, 0).open("a") as file:
        file.write("\n")
    writers[0].output(["after"])
    assert index.refresh() == 2
    assert messages(index) == ["whole", "after"]


def test_filters_keep_up_with_the_log(tmp_path: Path, writers: list[LogWriter]) -> None:
    index = LogIndex(tmp_path)
    for part in range(3):
        writers[0].output([f"INFO Größe {part}", f'ERROR a "quoted" part {part}', "no level"])
        index.refresh()
        assert len(messages(index, Filter(level=4))) == part + 1
        assert len(messages(index, Filter(text="größe"))) == part + 1
        assert len(messages(index, Filter(text='"QUOTED" PART'))) == part + 1

    assert messages(index, Filter(text="g00r0")) == []  # what is searched is what was said
    assert messages(index, Filter(level=1), start=-1) == ['ERROR a "quoted" part 2']


def test_a_log_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    index = LogIndex(tmp_path / "none")

    assert (index.refresh(), index.window(-10, 10)) == (0, (0, 0, []))
