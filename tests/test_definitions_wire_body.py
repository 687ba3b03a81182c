"""What is sent for each config in tests/golden/job_bodies, compared with the JSON file beside it.

The configs load under truss 0.18.36 as well, and the bodies are those that it sends for them. After an intended change:

    UPDATE_GOLDEN=1 pytest tests/test_definitions_wire_body.py

and review the difference as one reviews code: it is what the API receives.
"""

import json
import os
import warnings
from pathlib import Path

import pytest
from pydantic import BaseModel

from truss_train_core.config_file import load_training_project

CONFIGS = sorted((Path(__file__).parent / "golden" / "job_bodies").glob("*.py"))
ARTIFACT = {"s3_bucket": "bucket", "s3_key": "training/archive.tgz"}
USER_ENV = {
    "truss_client_version": "0.18.36",
    "python_version": "3.11.7",
    "pydantic_version": "2.13.0",
    "mypy_version": None,
    "git_info": None,
}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_bodies_sent_for_a_config_are_the_recorded_ones(config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        project = load_training_project(config)
    bodies = {
        "training_project": project.wire_body(),
        "training_job": project.job.wire_body(artifacts=[ARTIFACT], truss_user_env=USER_ENV),
    }
    golden = config.with_suffix(".json")
    if "UPDATE_GOLDEN" in os.environ:
        golden.write_text(json.dumps(bodies, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert bodies == json.loads(golden.read_text(encoding="utf-8"))


def test_the_configs_leave_no_field_of_a_job_at_its_default():
    """So that a field added to the definitions is added to the configs too."""
    everything = load_training_project(CONFIGS[0].with_name("everything.py"))
    minimal = load_training_project(CONFIGS[0].with_name("minimal.py"))

    def same(one, other, place):
        for name in type(one).model_fields:
            mine, default = getattr(one, name), getattr(other, name)
            if isinstance(mine, BaseModel) and isinstance(default, BaseModel):
                yield from same(mine, default, f"{place}.{name}")
            elif mine == default:
                yield f"{place}.{name}"

    assert set(same(everything, minimal, "project")) == {
        "project.job.image.docker_auth",  # in docker_*.py
        "project.job.runtime.enable_cache",  # in deprecated_cache.py
        "project.runtime_config",  # no part of a body: a file of the archive
    }


def test_a_body_without_an_upload_has_no_artifacts():
    job = load_training_project(CONFIGS[0].with_name("minimal.py")).job
    assert job.wire_body()["runtime"]["artifacts"] == []
    assert job.wire_body()["truss_user_env"] is None
