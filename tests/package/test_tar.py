from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from truss_train_core.errors import PackageError
from truss_train_core.package import archive, archive_size, prepare
from truss_train_core.package.tar import CHUNK_SIZE


def packed(root) -> bytes:
    return b"".join(archive(prepare(root)))


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


CONTENTS = {
    "empty": b"",
    "one-block": b"x" * 512,
    "run.sh": b"#!/bin/sh\n",
    "déjà/vu 漢字.txt": "ü".encode(),
    f"{'long/' * 40}{'n' * 120}": b"deep",
    "big.bin": bytes(range(256)) * 12_000,
}


def test_tar_reads_back_names_and_contents(tree):
    assert unpacked(packed(tree(CONTENTS))) == CONTENTS


@pytest.mark.parametrize("files", [{}, {"a": ""}, CONTENTS])
def test_the_size_is_known_beforehand(tree, files):
    package = prepare(tree(files))
    assert archive_size(package) == len(b"".join(archive(package)))


def test_an_archive_is_what_tarfile_writes(tree):
    package = prepare(tree({**CONTENTS, "n" * 100: b"1", "n" * 101: b"2"}))
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in package.files:
            member = tarfile.TarInfo(file.arcname)
            member.size, member.mode, member.mtime = file.size, file.mode, 946_684_800
            with Path(file.source).open("rb") as content:
                tar.addfile(member, content)
    assert b"".join(archive(package)) == expected.getvalue()


def test_chunks_are_of_one_size_so_that_no_file_is_held_whole(tree):
    root = tree({"a": b"x" * 100, "big": b"y" * (3 * CHUNK_SIZE + 5), "c": b"z"})
    *all_but_last, last = (len(chunk) for chunk in archive(prepare(root)))
    assert set(all_but_last) == {CHUNK_SIZE}
    assert 0 < last <= CHUNK_SIZE


def test_a_large_file_is_archived_in_a_few_megabytes_of_memory(tree):
    root = tree({"big.bin": ""})
    os.truncate(root / "big.bin", 200 * CHUNK_SIZE)
    package = prepare(root)
    tracemalloc.start()
    for _ in archive(package):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * CHUNK_SIZE


def test_the_same_tree_gives_the_same_bytes_whoever_packs_it_and_when(tree):
    files = {"run.sh": "x", "a/b": "y", "a.b": "z"}
    first, second = tree(files, under="one"), tree(dict(reversed(files.items())), under="two")
    for root in (first, second):
        (root / "run.sh").chmod(0o755)
    os.utime(second / "run.sh", (0, 0))
    (second / "a.b").chmod(0o600)
    assert packed(first) == packed(second)


def test_members_are_plain_files_of_nobody_with_a_time_that_zip_can_hold(tree):
    root = tree({"run.sh": "", "a/data": ""})
    (root / "run.sh").chmod(0o711)
    (root / "link").symlink_to("run.sh")
    with tarfile.open(fileobj=io.BytesIO(packed(root))) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == ["a/data", "link", "run.sh"]
    for member in members.values():
        assert (member.type, member.uid, member.gid, member.uname, member.gname) == (tarfile.REGTYPE, 0, 0, "", "")
        assert member.mtime > 315_532_800 + 86_400  # 1980, and a day for time zones
    assert members["run.sh"].mode == members["link"].mode == 0o755
    assert members["a/data"].mode == 0o644


@pytest.mark.parametrize("size", [0, 3, 11])
def test_a_file_whose_size_changes_meanwhile_is_named(tree, size):
    root = tree({"run.sh": "x" * 10})
    package = prepare(root)
    os.truncate(root / "run.sh", size)
    with pytest.raises(PackageError, match=r"run\.sh changed while it was being archived"):
        list(archive(package))


def test_a_file_that_is_rewritten_while_it_is_read_is_named_though_its_size_stays(tree):
    root = tree({"weights.bin": bytes(3 * CHUNK_SIZE)})
    chunks = archive(prepare(root))
    next(chunks)
    with (root / "weights.bin").open("r+b") as file:
        file.write(b"1")
    with pytest.raises(PackageError, match=r"weights\.bin changed while it was being archived"):
        list(chunks)


def test_a_file_that_vanishes_meanwhile_is_named(tree):
    root = tree({"a": "", "run.sh": "x"})
    package = prepare(root)
    (root / "run.sh").unlink()
    with pytest.raises(PackageError, match=r"run\.sh could not be archived: No such file"):
        list(archive(package))
