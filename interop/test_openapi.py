"""Calls generated from Baseten's OpenAPI: the local platform answers each as the OpenAPI says, or says why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from conftest import PROJECT, http, wait_for
from extract_openapi import is_served
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from seeds import serve

from truss_train_core import load_training_project, push
from truss_train_core.definitions import Accelerator
from truss_train_core.local.server.scheduler import CPU
from truss_train_core.testing import LocalPlatform

OPENAPI = schemathesis.openapi.from_path(Path(__file__).with_name("openapi.json"))
OPERATIONS = Path(__file__).parents[1] / "tests" / "api" / "openapi_paths.txt"
NOTHING = {CPU: 0, **{gpu.value: 0 for gpu in Accelerator}}
"""A capacity with which no job starts, so that no generated text is run by a shell."""


@dataclass(frozen=True)
class World:
    """A platform, and the objects on it by the names that variables of paths have for them.

    Attributes:
        ids: of a job that has left everything behind, a deployment of one of its checkpoints, and what is around them.
    """

    api: httpx.Client
    session: requests.Session
    headers: dict[str, str]
    ids: dict[str, str]

    def path_parameters(self, method: str, path: str) -> dict[str, str]:
        """Objects that exist. One that the call ends or changes is new; a deployment that it promotes serves."""
        ids = {name: self.ids[name] for name in re.findall(r"\{(\w+)\}", path)}
        last = list(ids)[-1] if ids else None
        if last in self._makers and (method in ("DELETE", "PATCH") or path.endswith("/stop")):
            ids[last] = self._makers[last]()
        if path.endswith("/promote"):
            self.activate()
        return ids

    @property
    def _makers(self) -> dict[str, Callable[[], str]]:
        return {
            "training_project_id": self._new_project,
            "training_job_id": self._new_job,
            "secret_name": self._new_secret,
            "env_name": self._new_environment,
            "model_id": lambda: self._deployed("new")["model_id"],
            "deployment_id": lambda: self._deployed("interop")["id"],
        }

    def activate(self) -> None:
        deployment = "/v1/models/{model_id}/deployments/{deployment_id}".format(**self.ids)
        self._post(deployment + "/activate", {})
        wait_for("ACTIVE", lambda: self.api.get(deployment).json()["status"] == "ACTIVE")

    def _new_project(self) -> str:
        return self._post("/v1/training_projects", {"training_project": {"name": "new"}})["training_project"]["id"]

    def _new_job(self) -> str:
        job = {"image": {"base_image": "x"}}
        jobs = f"/v1/training_projects/{self.ids['training_project_id']}/jobs"
        return self._post(jobs, {"training_job": job})["training_job"]["id"]

    def _new_secret(self) -> str:
        return self._post("/v1/secrets", {"name": "new", "value": "x"})["name"]

    def _new_environment(self) -> str:
        self.api.delete(f"/v1/models/{self.ids['model_id']}/environments/new")
        return self._post(f"/v1/models/{self.ids['model_id']}/environments", {"name": "new"})["name"]

    def _deployed(self, model: str) -> dict[str, str]:
        """A deployment that fails, for want of vLLM."""
        checkpoint = {"training_job_id": self.ids["training_job_id"], "checkpoint_name": "checkpoint-1"}
        source = {"checkpoint": checkpoint}
        request = {
            "metadata": {"oracle_name": model},
            "weights_sources": [
                {"weight_source_type": "B10_CHECKPOINTING", "b10_training_checkpoint_weights_source": source}
            ],
            "instance_type_id": "1x2",
        }
        mutation = "create_model_version_from_inference_template"
        query = f"mutation ($request: R!) {{ {mutation}(request: $request) {{ model_version {{ id model_id }} }} }}"
        answer = self._post("/graphql/", {"query": query, "variables": {"request": request}})
        return answer["data"][mutation]["model_version"]

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self.api.post(path, json=body).raise_for_status().json()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("platform")
    with LocalPlatform.started(data_dir, capacity={CPU: 2}, stop_grace=1) as platform:
        ids = seed(platform)
    with (
        LocalPlatform.started(data_dir, capacity=NOTHING, stop_grace=1) as platform,
        http(platform.remote) as api,
        requests.Session() as session,
    ):
        session.trust_env = False
        world = World(api, session, {"Authorization": platform.remote.authorization}, ids)
        world.activate()
        for name in ("staging", "production"):
            environment = f"/v1/models/{ids['model_id']}/environments/{name}"
            api.post(environment + "/promote", json={"deployment_id": ids["deployment_id"]}).raise_for_status()
        yield world


def seed(platform: LocalPlatform) -> dict[str, str]:
    project = load_training_project(PROJECT / "config.py")
    project.job.runtime.start_commands = ["python train.py", "sleep 6"]  # until there is a sample of its metrics
    job = push(project, platform.remote, source_dir=PROJECT).training_job
    ids = {"training_project_id": job.training_project_id, "training_job_id": job.id}
    with http(platform.remote) as api:
        path = f"/v1/training_projects/{job.training_project_id}/jobs/{job.id}"
        wait_for(
            "the end of the job",
            lambda: api.get(path).json()["training_job"]["checkpoint_sync_status"] == "COMPLETED",
        )
        deployment = serve(platform, job.id)
        api.post(f"/v1/models/{deployment.model_id}/environments", json={"name": "staging"})
        team = api.get("/v1/teams").json()["teams"][0]["id"]
        api.post("/v1/secrets", json={"name": "token", "value": "x"})
    ids |= {"model_id": deployment.model_id, "deployment_id": deployment.id, "env_name": "staging"}
    ids |= {"team_id": team, "secret_name": "token", "session_id": "none"}
    return ids | {"project_id": job.training_project_id, "job_id": job.id, "gpu_type": "H100"}  # as in bodies


@OPENAPI.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_calls_are_answered_as_the_openapi_says(case: schemathesis.Case, world: World) -> None:
    check(case, world)
    case.path_parameters = world.path_parameters(case.operation.method.upper(), case.path)
    name_what_exists(case.body, world.ids)
    check(case, world)


def check(case: schemathesis.Case, world: World) -> None:
    """Anything but a server error, and a body that fits."""
    response = case.call(base_url=str(world.api.base_url), session=world.session, headers=world.headers)
    if response.status_code < 300:
        case.validate_response(response, checks=[content_type_conformance, response_schema_conformance])
    else:
        assert 400 <= response.status_code < 500 or response.status_code == 501, response.text
        assert response.json()["message"]


def name_what_exists(body: Any, ids: dict[str, str]) -> None:
    """Replace generated ids in a body."""
    if isinstance(body, list):
        for item in body:
            name_what_exists(item, ids)
    if isinstance(body, dict):
        for name, value in body.items():
            if name in ids and isinstance(value, str):
                body[name] = ids[name]
            name_what_exists(value, ids)


def test_the_extract_has_all_that_is_served() -> None:
    operations = {tuple(line.split()) for line in OPERATIONS.read_text().splitlines() if not line.startswith("#")}
    extracted = {(one.ok().method.upper(), one.ok().path) for one in OPENAPI.get_all_operations()}
    missing = {(method, path) for method, path in operations if is_served(method, path)} - extracted
    assert not missing, "run extract_openapi.py"
