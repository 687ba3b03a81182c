"""Files that are replaced as a whole."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from truss_train_core.durable import replace_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o644)
    return path


def test_the_new_file_is_its_owners_and_alone(file: Path) -> None:
    replace_file(file, "after – whole\n")
    assert file.read_text("utf-8") == "after – whole\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_what_cannot_be_written_leaves_what_was_there(file: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        replace_file(file, "no text: \ud800")
    assert file.read_text() == "before"
    assert list(file.parent.iterdir()) == [file]


def test_a_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "missing" / "file", "text")


def test_a_reader_never_finds_half_of_one(file: Path) -> None:
    replace_file(file, "0" * 100_000)

    def write() -> None:
        for number in range(50):
            replace_file(file, str(number % 10) * 100_000)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        text = file.read_text()
        assert (len(text), len(set(text))) == (100_000, 1)
    assert file.read_text() == "9" * 100_000
