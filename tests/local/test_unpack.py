from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.processes import unpack as unpacking
from truss_train_core.local.processes.unpack import _Unsafe, unpack


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    def write(*members: tarfile.TarInfo, content: bytes = b"content", mode: str = "w", name: str = "a.tgz") -> Path:
        with tarfile.open(tmp_path / name, mode) as tar:
            for info in members:
                info.size = len(content) if info.isreg() else 0
                tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
        return tmp_path / name

    return write


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_files_come_out_with_their_permissions(archive: Callable[..., Path], tmp_path: Path, mode: str) -> None:
    path = archive(member("run.sh", mode=0o755), member("package/data.txt"), mode=mode)

    assert unpack([path], tmp_path / "work") == 2

    assert (tmp_path / "work/run.sh").stat().st_mode & 0o111
    assert (tmp_path / "work/package/data.txt").read_text() == "content"


def test_a_later_archive_replaces_files_of_an_earlier_one(archive: Callable[..., Path], tmp_path: Path) -> None:
    first = archive(member("a"), member("b"), content=b"old", name="1.tar")
    second = archive(member("a"), content=b"new", name="2.tar")

    unpack([first, second], tmp_path / "work")

    assert (tmp_path / "work/a").read_text() == "new"
    assert (tmp_path / "work/b").read_text() == "old"


def test_links_within_the_directory_are_kept(archive: Callable[..., Path], tmp_path: Path) -> None:
    unpack([archive(member("a"), member("d/b", kind=tarfile.SYMTYPE, link="../a"))], tmp_path / "work")

    assert (tmp_path / "work/d/b").read_text() == "content"


@pytest.mark.parametrize(
    "unsafe",
    [
        member("../outside"),
        member("d/../../outside"),
        member("link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("d/link", kind=tarfile.SYMTYPE, link="../../outside"),
        member("link", kind=tarfile.LNKTYPE, link="../outside"),
        member("device", kind=tarfile.CHRTYPE),
        member("pipe", kind=tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_what_is_unsafe_is_refused(archive: Callable[..., Path], tmp_path: Path, unsafe: tarfile.TarInfo) -> None:
    with pytest.raises(LocalPlatformError, match=r"The archive a\.tgz is not unpacked: .*(outside|special|absolute)"):
        unpack([archive(unsafe)], tmp_path / "work")

    assert not (tmp_path / "outside").exists()


def test_an_archive_of_very_many_members_is_refused(
    archive: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "TOO_MANY", 4)
    assert unpack([archive(*map(member, "abc"))], tmp_path / "few") == 3
    with pytest.raises(LocalPlatformError, match="it has 4 members or more"):
        unpack([archive(*map(member, "abcd"))], tmp_path / "many")


def test_an_absolute_path_lands_below_the_directory(archive: Callable[..., Path], tmp_path: Path) -> None:
    unpack([archive(member("/etc/settings"))], tmp_path / "work")

    assert (tmp_path / "work/etc/settings").exists()


def test_a_file_behind_a_link_that_leads_out_is_refused(archive: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/link").symlink_to(tmp_path)

    with pytest.raises(LocalPlatformError, match="outside"):
        unpack([archive(member("link/outside"))], tmp_path / "work")

    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("keep", [0, 700, 1500])
def test_a_truncated_archive_is_an_error_that_names_it(archive: Callable[..., Path], tmp_path: Path, keep: int) -> None:
    path = archive(member("a"), content=b"x" * 4000)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(LocalPlatformError, match=r"a\.tgz is damaged or not a tar file"):
        unpack([path], tmp_path / "work")


def test_the_work_can_be_ended_between_files(archive: Callable[..., Path], tmp_path: Path) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        unpack([archive(member("a"))], tmp_path / "work", between_files=stop)

    assert not (tmp_path / "work/a").exists()


class TestWithoutFilters:
    """Python before 3.10.12 and 3.11.4, as some distributions still have it: stricter, and never less safe."""

    @pytest.fixture(autouse=True)
    def _no_filters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("truss_train_core.local.processes.unpack._HAS_FILTER", False)
        monkeypatch.setattr("truss_train_core.local.processes.unpack._UNSAFE", (_Unsafe,))

    def test_files_come_out_with_their_permissions(self, archive: Callable[..., Path], tmp_path: Path) -> None:
        directory = member("package", kind=tarfile.DIRTYPE, mode=0o755)
        unpack([archive(member("run.sh", mode=0o4777), directory, member("package/a"))], tmp_path / "work")

        assert (tmp_path / "work/run.sh").stat().st_mode & 0o7777 == 0o755
        assert (tmp_path / "work/package/a").read_text() == "content"

    @pytest.mark.parametrize(
        "unsafe",
        [
            member("../outside"),
            member("a/../../outside"),
            member("/outside"),
            member("link", kind=tarfile.SYMTYPE, link=".."),
            member("link", kind=tarfile.LNKTYPE, link="a"),
            member("pipe", kind=tarfile.FIFOTYPE),
            member("device", kind=tarfile.CHRTYPE),
        ],
        ids=lambda info: f"{info.name} {info.linkname}",
    )
    def test_what_could_lead_outside_is_refused(
        self, archive: Callable[..., Path], tmp_path: Path, unsafe: tarfile.TarInfo
    ) -> None:
        with pytest.raises(LocalPlatformError, match="is not unpacked"):
            unpack([archive(member("a"), unsafe)], tmp_path / "work")

        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "work"]
