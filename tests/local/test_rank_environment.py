from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from running_jobs import Jobs

from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.processes import rank_environment
from truss_train_core.local.processes.rank_environment import (
    below,
    places_of,
    process_environment,
    supervisor_environment,
    variables,
)

ROOT = Path("/jobs/a/work/rank-0")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/tmp/training_checkpoints", "tmp/training_checkpoints"),
        ("/root/.cache/", "root/.cache"),
        ("/../../etc", "etc"),
        ("//double", "double"),
        ("relative/dir", "b10/workspace/relative/dir"),
        ("../../../../up", "up"),
        ("/", "."),
    ],
)
def test_a_container_s_path_stays_below_the_rank_s_root(path: str, place: str) -> None:
    assert below(ROOT, path) == ROOT / place


def test_the_documented_variables_of_a_job_that_asks_for_everything(tmp_path: Path) -> None:
    spec = Jobs(tmp_path).spec(
        gpus=4,
        node_count=2,
        retry_count=1,
        checkpointing=True,
        checkpoint_dir="/tmp/ckpts",
        load_dir="/tmp/loaded_checkpoints",
        project_cache=tmp_path / "project",
        team_cache=tmp_path / "team",
    )
    root = spec.directory / "work" / "rank-1"

    assert variables(spec, 1, places_of(spec, 1)) == {
        "BT_TRAINING_JOB_ID": "job1",
        "BT_TRAINING_JOB_NAME": "digits",
        "BT_TRAINING_PROJECT_ID": "project1",
        "BT_TRAINING_PROJECT_NAME": "numbers",
        "BT_NUM_GPUS": "4",
        "BT_RETRY_COUNT": "1",
        "BT_WORKING_DIR": f"{root}/b10/workspace",
        "BT_SCRATCH_DIR": f"{root}/mnt/bt-scratch",
        "BT_CHECKPOINT_DIR": f"{root}/tmp/ckpts",
        "BT_LOAD_CHECKPOINT_DIR": f"{root}/tmp/loaded_checkpoints",
        "BT_RW_CACHE_DIR": f"{root}/root/.cache",
        "BT_PROJECT_CACHE_DIR": f"{root}/root/.cache/user_artifacts",
        "BT_TEAM_CACHE_DIR": f"{root}/root/.cache/team_artifacts",
        "BT_GROUP_SIZE": "2",
        "BT_LEADER_ADDR": "127.0.0.1",
        "BT_NODE_RANK": "1",
    }


def test_variables_of_things_that_are_not_asked_for_are_absent(tmp_path: Path) -> None:
    spec = Jobs(tmp_path).spec(baseten_workdir=False)

    assert (
        variables(spec, 0, places_of(spec, 0))
        .keys()
        .isdisjoint(
            {
                "BT_WORKING_DIR",
                "BT_CHECKPOINT_DIR",
                "BT_LOAD_CHECKPOINT_DIR",
                "BT_RW_CACHE_DIR",
                "BT_PROJECT_CACHE_DIR",
                "BT_TEAM_CACHE_DIR",
            }
        )
    )


def test_a_process_gets_what_installers_need_and_none_of_the_server_s_keys(tmp_path: Path) -> None:
    server = {
        "PATH": "/usr/bin",
        "HOME": str(tmp_path),
        "BASETEN_API_KEY": "key",
        "AWS_SECRET_ACCESS_KEY": "key",
        "UV_PUBLISH_TOKEN": "key",
        "HF_TOKEN": "key",
        "PIP_TARGET": "/elsewhere",
        "HTTPS_PROXY": "http://proxy",
        "UV_INDEX_URL": "https://mirror",
        "SSL_CERT_FILE": "/ca.pem",
    }
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").touch()

    environment = process_environment(
        server, venv=Path("/venv"), home=Path("/home"), temporary=Path("/t"), user={"A": "$B", "PATH": "/mine"}
    )

    assert environment == {
        "LANG": "C.UTF-8",
        "PATH": "/venv/bin:/mine",
        "HTTPS_PROXY": "http://proxy",
        "UV_INDEX_URL": "https://mirror",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_CACHE_DIR": f"{tmp_path}/.cache/uv",
        "PIP_CACHE_DIR": f"{tmp_path}/.cache/pip",
        "PIP_CONFIG_FILE": f"{tmp_path}/.config/pip/pip.conf",
        "HOME": "/home",
        "TMPDIR": "/t",
        "VIRTUAL_ENV": "/venv",
        "PYTHONUNBUFFERED": "1",
        "A": "$B",
    }
    assert "key" not in supervisor_environment(server).values()


def test_the_legacy_model_cache_appears_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spec = Jobs(tmp_path).spec(legacy_hf_cache=tmp_path / "models", project_cache=tmp_path / "project")
    places = places_of(spec, 0)

    rank_environment.create(places, spec)

    (places.home / ".cache/huggingface/weights").touch()
    assert (tmp_path / "models/weights").exists()
    assert (places.home / ".cache/user_artifacts").resolve() == tmp_path / "project"


def test_temporary_paths_are_short_enough_for_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 40)
    deep.mkdir()
    spec = Jobs(deep).spec()

    assert len(str(places_of(spec, 11).temporary)) < 70 + len(os.environ.get("TMPDIR", ""))


def test_a_temporary_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)

    with pytest.raises(LocalPlatformError, match="taken belongs to another user"):
        rank_environment.create_temporary(tmp_path / "taken" / "0")
