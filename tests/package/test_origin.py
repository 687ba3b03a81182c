from __future__ import annotations

import json
import platform
import subprocess

import pydantic
import pytest

from truss_train_core.package import git_info, origin, user_env


@pytest.fixture
def git(tmp_path, monkeypatch):
    for name, value in {"NAME": "Tester", "EMAIL": "tester@example.com"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def run(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    run("init", "-q")
    return run


def test_a_repository_is_described_by_commit_tag_and_cleanliness(git, tmp_path):
    git("commit", "-q", "--allow-empty", "-m", "one")
    git("tag", "v1")
    git("commit", "-q", "--allow-empty", "-m", "two")
    assert git_info(tmp_path) == {
        "latest_commit_sha": git("rev-parse", "HEAD"),
        "latest_tag": "v1",
        "commits_since_tag": 1,
        "has_uncommitted_changes": False,
    }


def test_without_a_tag_and_with_changes(git, tmp_path):
    git("commit", "-q", "--allow-empty", "-m", "one")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "new.py").touch()
    info = git_info(tmp_path / "sub")
    assert (info["latest_tag"], info["commits_since_tag"], info["has_uncommitted_changes"]) == (None, None, True)


def test_a_repository_without_a_commit_is_none(git, tmp_path):
    assert git_info(tmp_path) is None


def test_no_repository_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_info(tmp_path) is None


def test_no_git_is_none(git, tmp_path, monkeypatch):
    git("commit", "-q", "--allow-empty", "-m", "one")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_info(tmp_path) is None


def test_a_git_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(origin, "GIT_TIMEOUT", 0.1)
    assert git_info(tmp_path) is None


def test_the_user_env_has_the_fields_seen_on_the_wire_and_is_json(tmp_path):
    env = user_env(tmp_path)
    assert list(env) == [
        "truss_client_version",
        "python_version",
        "pydantic_version",
        "mypy_version",
        "git_info",
    ]
    assert env["python_version"] == platform.python_version()
    assert env["pydantic_version"] == pydantic.VERSION
    json.dumps(env)
