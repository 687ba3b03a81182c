from __future__ import annotations

import pytest

from truss_train_core.errors import PackageError
from truss_train_core.package.ignore import ALWAYS, PYTHON, IgnoreRules, Reason


@pytest.mark.parametrize(
    "arcname",
    [".git/", ".git", "deep/down/.git/", ".venv/", ".env", "app/.env", "pkg/__pycache__/", "old.pyc", ".DS_Store"],
)
@pytest.mark.parametrize("own_lines", [None, [], ["data/"]])
def test_version_control_environments_caches_and_secrets_stay_behind_whatever_the_user_wrote(arcname, own_lines):
    assert IgnoreRules(own_lines).match(arcname)[0] is Reason.ALWAYS


@pytest.mark.parametrize(
    "arcname",
    [
        "lib/",
        "pkg/lib/",
        "build/",
        "target/",
        "weights.so",
        "train.log",
        "env/",
        ".cache/",
        "docs/_build/",
        "x.egg-info/",
    ],
)
def test_the_built_in_list_holds_only_without_a_file_of_the_users_own(arcname):
    assert IgnoreRules(None).match(arcname)[0] is Reason.BUILT_IN
    assert IgnoreRules([]).match(arcname) is None


@pytest.mark.parametrize(
    "arcname",
    [
        "library/",
        "lib",
        "train.py",
        "data/",
        "node_modules/",
        ".env.local",
        ".gitignore",
        "a/docs/_build/",
        "x.logs",
        "log",
    ],
)
def test_neighbours_of_the_lists_travel(arcname):
    assert IgnoreRules(None).match(arcname) is None


def test_a_match_names_the_line_that_matched():
    assert IgnoreRules(["# big", "", "data/", "*.ckpt"]).match("run/last.ckpt") == (Reason.IGNORE_FILE, "*.ckpt")


def test_the_last_matching_line_wins_so_that_users_can_bring_things_back():
    rules = IgnoreRules(["*.bin", "!keep.bin", "!.env"])
    assert [bool(rules.match(name)) for name in ("drop.bin", "keep.bin", ".env")] == [True, False, False]


def test_a_file_in_gitignore_syntax_is_read_with_comments_blank_lines_and_a_byte_order_mark(tree):
    root = tree({".truss_ignore": "\ufeffdata/\n\n# a comment\n/only-top\n"})
    rules = IgnoreRules.of(root)
    assert [bool(rules.match(name)) for name in ("data/", "only-top", "sub/only-top")] == [True, True, False]


@pytest.mark.parametrize("line", ["!", "[z-a]"])
def test_a_line_that_is_no_pattern_is_refused_with_its_number(tree, line):
    root = tree({".truss_ignore": f"data/\n{line}\n"})
    with pytest.raises(PackageError, match=r"\.truss_ignore, line 2: "):
        IgnoreRules.of(root)


def test_a_file_that_is_not_text_is_refused(tree):
    root = tree({".truss_ignore": b"\xff\xfe\x00"})
    with pytest.raises(PackageError, match="cannot be read"):
        IgnoreRules.of(root)


def test_no_pattern_stands_in_both_lists():
    assert not set(ALWAYS) & set(PYTHON)
    assert len(set(PYTHON)) == len(PYTHON)
