from __future__ import annotations

import dataclasses
import os
import socket
import tempfile
from pathlib import Path

import pytest

from truss_train_core.definitions import Workspace
from truss_train_core.errors import PackageError
from truss_train_core.package import LeftOut, Reason, describe, prepare


def names(package):
    return [file.arcname for file in package.files]


def left_out(package):
    return {path.arcname: path.reason for path in package.left_out}


def test_files_are_named_from_the_top_and_sorted(tree):
    root = tree({"run.sh": "x", "b/inner/z.py": "zz", "b.py": "", "a.py": "", "b/a.py": ""})
    package = prepare(root)
    assert names(package) == ["a.py", "b.py", "b/a.py", "b/inner/z.py", "run.sh"]
    assert (package.root, package.size) == (root, 3)


def test_the_executable_bit_is_all_that_is_kept_of_a_mode(tree):
    root = tree({"run.sh": "", "private.txt": ""})
    (root / "run.sh").chmod(0o700)
    (root / "private.txt").chmod(0o600)
    assert {file.arcname: file.mode for file in prepare(root).files} == {"private.txt": 0o644, "run.sh": 0o755}


def test_an_empty_directory_is_a_package_of_no_files(tmp_path):
    assert prepare(tmp_path).files == ()


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(PackageError, match="is not a directory"):
        prepare(tmp_path / "nowhere")


def test_a_package_cannot_be_changed(tree):
    with pytest.raises(dataclasses.FrozenInstanceError):
        prepare(tree({"a": ""})).files = ()


class TestLeftOut:
    def test_what_the_built_in_list_takes_is_named_once_with_its_files_and_bytes(self, tree):
        root = tree({"lib/a.py": "123", "lib/deep/b.py": "4567", "weights.so": "12345", "train.py": ""})
        assert prepare(root).left_out == (
            LeftOut("lib/", Reason.BUILT_IN, "lib/", files=2, size=7),
            LeftOut("weights.so", Reason.BUILT_IN, "*.so", files=1, size=5),
        )

    def test_with_a_truss_ignore_the_built_in_list_is_off_and_the_basics_still_hold(self, tree):
        root = tree(
            {".truss_ignore": "data/\n", "lib/a.py": "", "data/big": "", ".env": "KEY=1", "x/__pycache__/a.pyc": ""}
        )
        package = prepare(root)
        assert names(package) == [".truss_ignore", "lib/a.py"]
        assert left_out(package) == {
            ".env": Reason.ALWAYS,
            "data/": Reason.IGNORE_FILE,
            "x/__pycache__/": Reason.ALWAYS,
        }

    def test_a_directory_that_the_user_leaves_out_is_not_looked_into(self, tree):
        root = tree({".truss_ignore": "data/\n", "data/a": "12"})
        assert prepare(root).left_out == (LeftOut("data/", Reason.IGNORE_FILE, "data/", files=None, size=None),)

    @pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
    def test_an_environment_is_recognised_by_what_is_in_it(self, tree, mark):
        root = tree({f"my-tools/{mark}": "", "my-tools/bin/python": "", "run.sh": ""})
        package = prepare(root)
        assert names(package) == ["run.sh"]
        assert left_out(package) == {"my-tools/": Reason.ALWAYS}

    def test_a_working_directory_that_is_itself_an_environment_travels(self, tree):
        assert names(prepare(tree({"pyvenv.cfg": "", "run.sh": ""}))) == ["pyvenv.cfg", "run.sh"]

    def test_a_socket_and_a_pipe_are_reported_and_do_not_block(self, tree, monkeypatch):
        root = tree({"run.sh": ""})
        os.mkfifo(root / "pipe")
        monkeypatch.chdir(root)  # a socket's path may not be long
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("sock")
            package = prepare(root)
        assert left_out(package) == {"pipe": Reason.SPECIAL_FILE, "sock": Reason.SPECIAL_FILE}

    def test_the_report_names_reasons_patterns_counts_and_examples(self, tree):
        root = tree(
            {
                "run.sh": "x" * 2048,
                "lib/a.py": "123",
                "lib/b.py": "123",
                "one.log": "1",
                "two.log": "22",
                ".git/HEAD": "",
                "a/__pycache__/a.pyc": "",
                "b/__pycache__/b.pyc": "",
            }
        )
        assert describe(prepare(root)) == [
            f"1 file, 2.0 KiB, from {root}",
            "Left out by the built-in list, which a .truss_ignore file replaces: "
            "lib/ (2 files, 6 B), two.log (2 B) and 1 more of this kind",
            "Always left out: .git/, a/__pycache__/ and 1 more of this kind",
        ]


class TestLinks:
    def test_a_link_to_a_file_arrives_as_a_file_with_its_content(self, tree, tmp_path):
        root = tree({"real.txt": "inside"})
        outside = tmp_path / "outside.txt"
        outside.write_text("from elsewhere")
        (root / "inner").symlink_to("real.txt")
        (root / "outer").symlink_to(outside)
        files = {file.arcname: file.size for file in prepare(root).files}
        assert files == {"real.txt": 6, "inner": 6, "outer": 14}

    def test_a_link_to_a_directory_is_followed(self, tree, tmp_path):
        (tmp_path / "shared" / "deep").mkdir(parents=True)
        (tmp_path / "shared" / "deep" / "data.txt").write_text("x")
        root = tree({"run.sh": ""})
        (root / "data").symlink_to(tmp_path / "shared")
        assert names(prepare(root)) == ["data/deep/data.txt", "run.sh"]

    def test_one_directory_reached_by_two_links_arrives_twice(self, tree, tmp_path):
        root = tree({"real/x": ""})
        (root / "one").symlink_to("real")
        (root / "two").symlink_to("real")
        assert names(prepare(root)) == ["one/x", "real/x", "two/x"]

    def test_a_link_to_a_directory_around_it_is_reported_and_not_followed_for_ever(self, tree):
        root = tree({"pkg/mod.py": ""})
        (root / "pkg" / "up").symlink_to("..")
        (root / "pkg" / "self").symlink_to(".")
        package = prepare(root)
        assert names(package) == ["pkg/mod.py"]
        assert left_out(package) == {"pkg/self/": Reason.LINK_CYCLE, "pkg/up/": Reason.LINK_CYCLE}

    @pytest.mark.parametrize("goal", ["missing.txt", "broken"])
    def test_a_link_that_leads_nowhere_is_refused_with_its_name(self, tree, goal):
        root = tree({"sub/run.sh": ""})
        (root / "sub" / "broken").symlink_to(goal)
        with pytest.raises(PackageError, match=rf"sub/broken is a link to {goal}, which cannot be followed"):
            prepare(root)

    def test_a_broken_link_that_is_left_out_harms_nobody(self, tree):
        root = tree({".truss_ignore": "broken\n", "run.sh": ""})
        (root / "broken").symlink_to("missing.txt")
        assert "broken" in left_out(prepare(root))

    def test_a_link_to_an_environment_is_left_out_by_its_name(self, tree, tmp_path):
        (tmp_path / "env").mkdir()
        root = tree({"run.sh": ""})
        (root / ".venv").symlink_to(tmp_path / "env")
        assert left_out(prepare(root)) == {".venv/": Reason.ALWAYS}


class TestSize:
    def test_too_much_is_refused_with_the_places_that_hold_most(self, tree):
        root = tree({"run.sh": "", "data/train/one.bin": "", "data/two.bin": ""})
        os.truncate(root / "data/train/one.bin", 4 * 1024**3)
        os.truncate(root / "data/two.bin", 2 * 1024**3)
        with pytest.raises(PackageError) as caught:
            prepare(root)
        assert "holds 6.0 GiB, more than the limit of 5.0 GiB" in str(caught.value)
        assert "data/train/ (4.0 GiB), data/two.bin (2.0 GiB)" in str(caught.value)

    def test_what_is_left_out_does_not_count(self, tree):
        root = tree({".truss_ignore": "*.bin", "one.bin": ""})
        os.truncate(root / "one.bin", 6 * 1024**3)
        assert names(prepare(root)) == [".truss_ignore"]


@pytest.fixture
def open_tree():
    """A directory that others may enter, in which this process, if it is root's, is for now somebody else."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        root.chmod(0o755)
        (root / "closed").mkdir()
        for file in ("secret.txt", "closed/a"):
            (root / file).write_text("x")
        was_root = os.geteuid() == 0
        if was_root:
            os.chown(root / "closed", 65534, 65534)
            os.chown(root / "secret.txt", 65534, 65534)
            os.setresuid(65534, 65534, 0)
        try:
            yield root
        finally:
            if was_root:
                os.setresuid(0, 0, 0)
            (root / "closed").chmod(0o755)


@pytest.mark.parametrize(("path", "mode"), [("secret.txt", 0o000), ("closed", 0o000), ("closed", 0o444)])
def test_what_cannot_be_read_is_refused_with_its_name(open_tree, path, mode):
    (open_tree / path).chmod(mode)
    with pytest.raises(PackageError, match=rf"{open_tree / path}\S* cannot be read: Permission denied"):
        prepare(open_tree)


class TestWorkspace:
    def layout(self, tree, tmp_path):
        """Make mono/{jobs/run.sh, common/util.py, big/x} and, beside it, shared/lib.py."""
        root = tree({"jobs/run.sh": "", "common/util.py": "", "big/x": "", "top.txt": ""}, under="mono")
        tree({"lib.py": ""}, under="shared")
        return root

    def test_nothing_set_is_the_plain_directory(self, tree, tmp_path):
        root = self.layout(tree, tmp_path)
        assert names(prepare(root / "jobs", Workspace())) == ["run.sh"]

    def test_the_workspace_root_becomes_the_top_of_the_archive(self, tree, tmp_path):
        root = self.layout(tree, tmp_path)
        package = prepare(root / "jobs", Workspace(workspace_root=".."))
        assert package.root == root
        assert names(package) == ["big/x", "common/util.py", "jobs/run.sh", "top.txt"]

    def test_an_absolute_workspace_root_is_taken_as_it_is(self, tree, tmp_path):
        root = self.layout(tree, tmp_path)
        assert prepare(root / "jobs", Workspace(workspace_root=str(root))).root == root

    def test_the_truss_ignore_of_the_workspace_root_holds(self, tree, tmp_path):
        root = self.layout(tree, tmp_path)
        (root / ".truss_ignore").write_text("/common/\n")
        package = prepare(root / "jobs", Workspace(workspace_root=".."))
        assert left_out(package) == {"common/": Reason.IGNORE_FILE}

    def test_excluded_directories_are_left_out_at_the_top_only(self, tree, tmp_path):
        root = self.layout(tree, tmp_path)
        tree({"common/big/y": ""}, under="mono")
        package = prepare(root / "jobs", Workspace(workspace_root="..", exclude_dirs=["../big"]))
        assert names(package) == ["common/big/y", "common/util.py", "jobs/run.sh", "top.txt"]
        assert package.left_out == (LeftOut("big/", Reason.EXCLUDE_DIRS),)

    def test_external_directories_arrive_at_the_top(self, tree, tmp_path):
        root = self.layout(tree, tmp_path)
        package = prepare(root / "jobs", Workspace(external_dirs=["../../shared", "../common"]))
        assert names(package) == ["common/util.py", "run.sh", "shared/lib.py"]

    def test_an_external_directory_inside_the_root_arrives_once(self, tree, tmp_path):
        root = self.layout(tree, tmp_path)
        package = prepare(root / "jobs", Workspace(workspace_root="..", external_dirs=["../common"]))
        assert names(package).count("common/util.py") == 1

    @pytest.mark.parametrize(
        ("workspace", "message"),
        [
            ({"workspace_root": "../../shared"}, "does not contain the directory of the config file"),
            ({"workspace_root": "../missing"}, "workspace_root '../missing' is not a directory"),
            ({"workspace_root": "..", "exclude_dirs": ["big"]}, "not directly in"),
            ({"workspace_root": "..", "exclude_dirs": ["../common/deep"]}, "not directly in"),
            ({"workspace_root": "..", "exclude_dirs": ["../jobs"]}, "the config file's own directory"),
            ({"external_dirs": ["../missing"]}, "external_dirs: '../missing' is not a directory"),
            ({"external_dirs": ["../top.txt"]}, "is not a directory"),
            ({"external_dirs": [".."]}, "contains the working directory"),
            ({"external_dirs": ["../../shared", "../../other/shared"]}, "would arrive as 'shared'"),
            ({"external_dirs": ["../../run.sh"]}, "would arrive as 'run.sh'"),
            ({"external_dirs": ["../../lib"]}, "lib is asked for, but left out by 'lib/'"),
        ],
    )
    def test_a_workspace_that_contradicts_itself_is_refused(self, tree, tmp_path, workspace, message):
        root = self.layout(tree, tmp_path)
        for name in ("other/shared", "lib", "run.sh"):
            (tmp_path / name).mkdir(parents=True)
        with pytest.raises(PackageError, match=message):
            prepare(root / "jobs", Workspace(**workspace))

    def test_a_config_file_in_a_directory_that_would_be_left_out_is_refused(self, tree, tmp_path):
        root = tree({"build/run.sh": "", "a.py": ""}, under="mono")
        with pytest.raises(PackageError, match=r"build is asked for, but left out by 'build/' \(built-in list\)"):
            prepare(root / "build", Workspace(workspace_root=".."))
