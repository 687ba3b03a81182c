from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_platform import Served

from truss_train_core.local.server.database import Deployment, Model

CREATE = """mutation ($request: CreateModelVersionFromInferenceTemplateRequest!) {
  create_model_version_from_inference_template(request: $request) {
    model_version { id name model_id } truss_config } }"""
SERVER = {"start_command": "python serve.py", "predict_endpoint": "/ask", "readiness_endpoint": "/ready"}


@pytest.fixture
def job(platform: Served) -> tuple[str, str]:
    project = platform.project()
    job = project, platform.running_job(project)
    platform.store(*job, "checkpoint-1")
    return job


def request(job: tuple[str, str], *names: str, **fields: Any) -> dict[str, Any]:
    sources = [
        {
            "weight_source_type": "B10_CHECKPOINTING",
            "b10_training_checkpoint_weights_source": {
                "checkpoint": {"training_job_id": job[1], "checkpoint_name": name}
            },
        }
        for name in names or ("checkpoint-1",)
    ]
    return {
        "metadata": {"oracle_name": "digits"}, "weights_sources": sources, "instance_type_id": "1x2", "dry_run": False,
        "inference_stack": {"stack_type": "VLLM", "environment_variables": []}, **fields,
    }  # fmt: skip


def deploy(platform: Served, wanted: dict[str, Any], server: dict[str, Any] | None = SERVER) -> Any:
    body = {"query": CREATE, "variables": {"request": wanted}, "extensions": {"local_server": server} if server else {}}
    answer = platform.call("POST", "/graphql/", body)
    assert "errors" not in answer, answer
    return answer["data"]["create_model_version_from_inference_template"]


def refusal(platform: Served, wanted: Any) -> str:
    body = {"query": CREATE, "variables": {"request": wanted}}
    return str(platform.call("POST", "/graphql/", body)["errors"][0]["message"])


def deployed(platform: Served, job: tuple[str, str]) -> tuple[str, str]:
    version = deploy(platform, request(job))["model_version"]
    platform.move_on()
    return version["model_id"], version["id"]


def serve(platform: Served, deployment: str, port: int | None = None) -> None:
    platform.serving.set(deployment, "active", port=port)
    platform.move_on()


def look(platform: Served, model: str, deployment: str) -> dict[str, Any]:
    return dict(platform.call("GET", f"/v1/models/{model}/deployments/{deployment}"))


# ---------------------------------------------------------------- GraphQL


def test_an_answer_has_the_names_that_the_query_asks_for(platform: Served) -> None:
    query = "query Instances { # comment\n listedInstances: listed_instances { id, gpuCount: gpu_count gpu_type } }"
    (one, *_) = platform.call("POST", "/graphql/", {"query": query})["data"]["listedInstances"]

    assert one == {"id": "1x2", "gpuCount": 0, "gpu_type": None}
    teams = platform.call("POST", "/graphql", {"query": "{ teams { name default } }"})["data"]
    assert teams == {"teams": [{"name": "local", "default": True}]}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("query { organization { id } }", "does not serve the GraphQL field 'organization'"),
        ("", "no selection"),
        ("query { teams { id ", "ends in the middle"),
        ("query { teams(filter: {a: 1} ", "ends in the middle"),
        ("query { teams { ) } }", "cannot be read"),
    ],
)
def test_another_query_is_a_graphql_error(platform: Served, query: str, words: str) -> None:
    answer = platform.call("POST", "/graphql/", {"query": query})

    assert words in answer["errors"][0]["message"]
    assert answer["data"] is None


# ---------------------------------------------------------------- creating


def test_a_deployment_moves_from_building_to_active(platform: Served, job: tuple[str, str]) -> None:
    version = deploy(platform, request(job))["model_version"]
    model, deployment = version["model_id"], version["id"]
    seen = [look(platform, model, deployment)["status"]]
    for phase in ("deploying", "loading_model", "active"):
        platform.move_on()
        platform.serving.set(deployment, phase)
        platform.move_on()
        seen.append(look(platform, model, deployment)["status"])

    assert seen == ["BUILDING", "DEPLOYING", "LOADING_MODEL", "ACTIVE"]
    spec = platform.serving.specs[deployment]
    assert (spec.start_command, spec.predict_path, spec.readiness_path) == ("python serve.py", "/ask", "/ready")
    source = platform.platform.data.checkpoints(*job) / "rank-0" / "checkpoint-1"
    assert spec.weights == ((source, f"{job[1]}/rank-0/checkpoint-1"),)
    (listed,) = platform.call("GET", "/v1/models")["models"]
    assert (listed["id"], listed["name"], listed["deployments_count"]) == (model, "digits", 1)
    assert platform.call("GET", f"/v1/models/{model}") == listed
    (one,) = platform.call("GET", f"/v1/models/{model}/deployments")["deployments"]
    assert one == look(platform, model, deployment)
    assert one["autoscaling_settings"]["max_replica"] == 1


def test_the_configuration_names_the_checkpoint(platform: Served, job: tuple[str, str]) -> None:
    result = deploy(platform, request(job, instance_type_id="H100:2"))
    version = result["model_version"]
    path = f"/v1/models/{version['model_id']}/deployments/{version['id']}/config"
    answer = platform.call("GET", path, output_format="both")

    config = answer["config"]
    assert config == json.loads(answer["raw_config"]) == json.loads(result["truss_config"])
    assert config["training_checkpoints"]["artifact_references"] == [
        {"training_job_id": job[1], "paths": ["rank-0/checkpoint-1/"]}
    ]
    command = config["environment_variables"]["BT_DOCKER_SERVER_START_CMD"]
    assert f"vllm serve /tmp/training_checkpoints/{job[1]}/rank-0/checkpoint-1" in command
    assert "--tensor-parallel-size 2" in command
    assert config["resources"]["accelerator"] == "H100:2"


def test_adapters_are_served_together_on_their_base_model(platform: Served, job: tuple[str, str]) -> None:
    for number, rank in ((7, 8), (8, 32)):
        adapter = {"base_model": "org/base", "lora_adapter_config": {"r": rank}}
        platform.store(*job, f"adapter-{number}", kind="lora", **adapter)
    config = json.loads(deploy(platform, request(job, "adapter-7", "adapter-8"))["truss_config"])

    command = config["environment_variables"]["BT_DOCKER_SERVER_START_CMD"]
    assert "vllm serve org/base" in command
    assert "--max-lora-rank 32" in command
    assert f"adapter-8=/tmp/training_checkpoints/{job[1]}/rank-0/adapter-8" in command
    assert "only LoRA" in refusal(platform, request(job, "adapter-7", "checkpoint-1"))


def test_a_dry_run_creates_nothing(platform: Served, job: tuple[str, str]) -> None:
    result = deploy(platform, request(job, dry_run=True))

    assert result["model_version"] is None
    assert json.loads(result["truss_config"])["model_name"] == "digits"
    assert platform.call("GET", "/v1/models")["models"] == []


def test_secrets_reach_the_server_and_not_the_configuration(platform: Served, job: tuple[str, str]) -> None:
    platform.call("POST", "/v1/secrets", {"name": "hf_access_token", "value": "hunter2"})
    variables = [
        {"name": "HF_TOKEN", "value": "hf_access_token", "is_secret_reference": True},
        {"name": "MODE", "value": "fast", "is_secret_reference": False},
    ]
    stack = {"stack_type": "VLLM", "environment_variables": variables}
    result = deploy(platform, request(job, inference_stack=stack))
    platform.move_on()

    spec = platform.serving.specs[result["model_version"]["id"]]
    assert spec.environment == {"HF_TOKEN": "hunter2", "MODE": "fast"}
    assert spec.secrets == ("hunter2",)
    assert "hunter2" not in result["truss_config"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instance_type_id": "9x9"}, "no instance type '9x9'"),
        ({"weights_sources": []}, "no checkpoint to deploy"),
        ({"weights_sources": [{"weight_source_type": "B10_LOOPS_CHECKPOINTING"}]}, "B10_LOOPS_CHECKPOINTING"),
        ({"metadata": {}}, "request.metadata.oracle_name"),
        (
            {"inference_stack": {"environment_variables": [{"name": "T", "value": "no", "is_secret_reference": True}]}},
            "no secret 'no'",
        ),
    ],
)
def test_a_bad_request_is_refused_and_nothing_is_created(
    platform: Served, job: tuple[str, str], change: dict[str, Any], words: str
) -> None:
    assert words in refusal(platform, {**request(job), **change})
    assert "checkpoint 'checkpoint-9'; it has checkpoint-1" in refusal(platform, request(job, "checkpoint-9"))
    assert platform.call("GET", "/v1/models")["models"] == []


def test_what_nothing_here_can_serve_fails_and_says_what_to_do(
    platform: Served, job: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    version = deploy(platform, request(job), server=None)["model_version"]
    model, deployment = version["model_id"], version["id"]
    platform.move_on()

    assert look(platform, model, deployment)["status"] == "DEPLOY_FAILED"
    (line,) = platform.call("GET", f"/v1/models/{model}/deployments/{deployment}/logs")["logs"]
    assert "LocalServer(start_command=" in line["message"]
    refused = platform.call("POST", f"/v1/models/{model}/deployments/{deployment}/activate", expect=400)
    assert "its log says why" in refused["message"]


@pytest.mark.parametrize(("kind", "program"), [("full", "transformers"), ("full", "vllm"), ("whisper", "vllm")])
def test_an_installed_server_is_used(
    platform: Served, job: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, program: str
) -> None:
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    platform.store(*job, "other", kind=kind)
    deployment = deploy(platform, request(job, "other"), server=None)["model_version"]["id"]
    platform.move_on()

    spec = platform.serving.specs[deployment]
    assert spec.start_command.startswith(f"{tmp_path / program} serve ")
    assert '--port "$PORT"' in spec.start_command
    assert spec.predict_path == ("/v1/audio/transcriptions" if kind == "whisper" else "/v1/chat/completions")


# ---------------------------------------------------------------- rest, promotion, deletion


def test_a_deployment_is_put_to_rest_and_served_again(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)
    serve(platform, deployment)
    path = f"/v1/models/{model}/deployments/{deployment}"

    assert platform.call("POST", f"{path}/deactivate") == {"success": True}
    assert (look(platform, model, deployment)["status"], platform.serving.stops) == ("DEACTIVATING", [deployment])
    platform.serving.set(deployment, "inactive")
    platform.move_on()
    assert look(platform, model, deployment)["status"] == "INACTIVE"
    assert platform.call("POST", f"{path}/activate") == {"success": True}
    assert look(platform, model, deployment)["status"] == "BUILDING"
    platform.move_on()
    serve(platform, deployment)
    assert look(platform, model, deployment)["status"] == "ACTIVE"


def test_a_deployment_activated_while_it_is_stopped_is_served_again(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)
    serve(platform, deployment)
    path = f"/v1/models/{model}/deployments/{deployment}"
    platform.call("POST", f"{path}/deactivate")

    platform.call("POST", f"{path}/activate")
    platform.move_on()
    assert look(platform, model, deployment)["status"] == "DEACTIVATING"
    platform.serving.set(deployment, "inactive")
    platform.move_on()
    assert look(platform, model, deployment)["status"] == "BUILDING"
    platform.move_on()
    serve(platform, deployment)
    assert look(platform, model, deployment)["status"] == "ACTIVE"


def test_a_server_that_dies_has_failed(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)
    serve(platform, deployment)
    platform.serving.set(deployment, "failed", error_message="exit code 1")
    platform.move_on()

    assert look(platform, model, deployment)["status"] == "FAILED"
    path = f"/v1/models/{model}/deployments/{deployment}"
    assert platform.call("DELETE", path) == {"id": deployment, "deleted": True, "model_id": model}
    platform.move_on()
    assert not platform.platform.data.deployment(deployment).exists()


def test_promotion_moves_an_environment_and_rests_the_former_deployment(platform: Served, job: tuple[str, str]) -> None:
    model, first = deployed(platform, job)
    _, second = deployed(platform, job)
    promote = f"/v1/models/{model}/environments/production/promote"
    assert "BUILDING" in platform.call("POST", promote, {"deployment_id": first}, expect=400)["message"]
    serve(platform, first)
    serve(platform, second)

    promoted = platform.call("POST", promote, {"deployment_id": first})
    assert (promoted["environment"], promoted["is_production"]) == ("production", True)
    platform.call("POST", f"/v1/models/{model}/deployments/{second}/promote", {})
    platform.serving.set(first, "inactive")
    platform.move_on()

    assert look(platform, model, first)["status"] == "SCALED_TO_ZERO"
    assert look(platform, model, "production")["id"] == second
    environment = platform.call("GET", f"/v1/models/{model}/environments/production")
    assert environment["current_deployment"]["id"] == second
    platform.call("POST", promote, {"deployment_id": first})
    assert look(platform, model, first)["status"] == "WAKING_UP"
    platform.move_on()
    serve(platform, first)
    assert look(platform, model, first)["status"] == "ACTIVE"


def test_the_former_deployment_goes_on_if_it_is_wanted(platform: Served, job: tuple[str, str]) -> None:
    model, first = deployed(platform, job)
    _, second = deployed(platform, job)
    serve(platform, first)
    serve(platform, second)
    environments = f"/v1/models/{model}/environments"
    platform.call("POST", environments, {"name": "staging"})
    assert "already" in platform.call("POST", environments, {"name": "staging"}, expect=400)["message"]
    for name in ("staging", "production"):
        platform.call("POST", f"{environments}/{name}/promote", {"deployment_id": first})
    platform.call("POST", f"{environments}/production/promote", {"deployment_id": second})
    keep = {"deployment_id": first, "scale_down_previous_deployment": False}
    platform.call("POST", f"{environments}/production/promote", keep)

    assert platform.serving.stops == []
    names = [one["name"] for one in platform.call("GET", environments)["environments"]]
    assert names == ["production", "staging"]
    platform.call("DELETE", f"{environments}/staging")
    platform.call("GET", f"{environments}/staging", expect=404)
    platform.call("POST", f"{environments}/nowhere/promote", keep, expect=404)


def test_an_environment_is_put_to_rest_and_woken_by_its_name(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)
    serve(platform, deployment)
    production = f"/v1/models/{model}/environments/production"
    assert "Nothing was promoted" in platform.call("POST", f"{production}/activate", expect=404)["message"]
    platform.call("POST", f"{production}/promote", {"deployment_id": deployment})

    platform.call("POST", f"{production}/deactivate")
    assert (look(platform, model, "production")["status"], platform.serving.stops) == ("DEACTIVATING", [deployment])
    platform.serving.set(deployment, "inactive")
    platform.move_on()
    assert platform.call("POST", f"{production}/activate") == {"success": True}
    assert look(platform, model, deployment)["status"] == "BUILDING"


def test_an_environment_has_nothing_to_set_and_nothing_to_cancel(platform: Served, job: tuple[str, str]) -> None:
    model, _ = deployed(platform, job)
    production = f"/v1/models/{model}/environments/production"

    answer = platform.call("PATCH", production, {"autoscaling_settings": {"max_replica": 3}})
    assert (answer["status"], answer["environment"]["autoscaling_settings"]["max_replica"]) == ("UNCHANGED", 1)
    assert "one process" in answer["message"]
    assert "speed" in platform.call("PATCH", production, {"speed": 3}, expect=400)["message"]
    cancelled = platform.call("POST", f"{production}/cancel_promotion", expect=400)
    assert cancelled["message"].startswith("Nothing is being promoted to 'production'")


def test_what_answered_in_a_deleted_environment_is_scaled_to_zero(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)
    serve(platform, deployment)
    environments = f"/v1/models/{model}/environments"
    for name in ("staging", "canary"):
        platform.call("POST", environments, {"name": name})
        platform.call("POST", f"{environments}/{name}/promote", {"deployment_id": deployment})

    platform.call("DELETE", f"{environments}/canary")
    assert platform.serving.stops == []
    platform.call("DELETE", f"{environments}/staging")
    platform.serving.set(deployment, "inactive")
    platform.move_on()
    assert look(platform, model, deployment)["status"] == "SCALED_TO_ZERO"
    assert "cannot be deleted" in platform.call("DELETE", f"{environments}/production", expect=400)["message"]


def test_a_failed_deployment_is_retried_and_no_other(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)
    path = f"/v1/models/{model}/deployments/{deployment}/retry"

    refused = platform.call("POST", path)
    assert (refused["retried"], refused["reason"][:15]) == (False, "It is BUILDING:")
    platform.serving.set(deployment, "deploy_failed")
    platform.move_on()
    answer = platform.call("POST", path)
    assert (answer["retried"], answer["reason"], answer["deployment"]["status"]) == (True, None, "BUILDING")
    platform.move_on()
    serve(platform, deployment)
    assert look(platform, model, deployment)["status"] == "ACTIVE"


def test_there_is_no_development_deployment(platform: Served, job: tuple[str, str]) -> None:
    model, _ = deployed(platform, job)
    for method, path in (("GET", ""), ("POST", "/activate"), ("POST", "/deactivate"), ("POST", "/retry")):
        refused = platform.call(method, f"/v1/models/{model}/deployments/development{path}", expect=404)
        assert "no development deployment" in refused["message"]


@pytest.mark.parametrize(("mode", "step", "sets"), [("CURRENT", None, 1), ("SUMMARY", None, 1), ("SERIES", 60, 0)])
def test_metrics_of_a_deployment_have_a_window_and_no_series(
    platform: Served, job: tuple[str, str], mode: str, step: int | None, sets: int
) -> None:
    model, deployment = deployed(platform, job)
    path = f"/v1/models/{model}/deployments/{deployment}/metrics"
    answer = platform.call("GET", path, mode=mode, start_epoch_millis=1000, end_epoch_millis=2000)

    assert (answer["start_epoch_millis"], answer["end_epoch_millis"], answer["step_seconds"]) == (1000, 2000, step)
    assert answer["metric_descriptors"] == []
    assert [each["values"] for each in answer["metric_values"]] == [[]] * sets
    platform.call("GET", path, expect=400, start_epoch_millis=2000, end_epoch_millis=1000)


def test_a_filter_of_logs_that_is_not_served_is_not_passed_over(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)
    path = f"/v1/models/{model}/deployments/{deployment}/logs"

    assert platform.call("GET", path, limit=5)["logs"] == []
    assert "by includes" in platform.call("GET", path, expect=501, includes="error")["message"]
    assert "by replica" in platform.call("POST", path, {"replica": "abcde"}, expect=501)["message"]
    assert platform.call("POST", path, {"replica": None, "includes": []})["logs"] == []


def test_models_are_listed_by_team(platform: Served, job: tuple[str, str]) -> None:
    model, _ = deployed(platform, job)
    body = {"training_project": {"name": "other", "team_name": "vision"}}
    platform.call("POST", "/v1/training_projects", body)
    teams = {team["name"]: team["id"] for team in platform.call("GET", "/v1/teams")["teams"]}

    listed = {name: platform.call("GET", f"/v1/teams/{id_}/models")["models"] for name, id_ in teams.items()}
    assert {name: [each["id"] for each in models] for name, models in listed.items()} == {
        "local": [model],
        "vision": [],
    }
    platform.call("GET", "/v1/teams/nowhere/models", expect=404)


def test_a_deployed_checkpoint_outlives_its_job_and_goes_with_its_deployment(
    platform: Served, job: tuple[str, str]
) -> None:
    platform.store(*job, "checkpoint-2")
    model, deployment = deployed(platform, job)
    platform.call("DELETE", f"/v1/training_projects/{job[0]}/jobs/{job[1]}")
    platform.runner.set(job[1], "stopped")
    platform.move_on()
    store = platform.platform.data.checkpoints(*job)
    assert [path.name for path in store.glob("rank-0/*")] == ["checkpoint-1"]

    serve(platform, deployment)
    production = f"/v1/models/{model}/environments/production/promote"
    platform.call("POST", production, {"deployment_id": deployment})
    path = f"/v1/models/{model}/deployments/{deployment}"
    assert "answers in 'production'" in platform.call("DELETE", path, expect=400)["message"]
    assert platform.call("DELETE", f"/v1/models/{model}")["deleted"]
    platform.call("GET", path, expect=404)
    platform.serving.set(deployment, "inactive")
    platform.move_on()
    platform.move_on()
    assert not store.exists()
    with platform.platform.database.reading() as session:
        assert (session.query(Deployment).count(), session.query(Model).count()) == (0, 0)


# ---------------------------------------------------------------- asking a model


class ModelServer(BaseHTTPRequestHandler):
    """Tells what it was asked, in pieces, and waits between them until it is told to go on."""

    protocol_version = "HTTP/1.1"
    go_on = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = {"path": self.path, "body": body.decode(), "headers": dict(self.headers.items())}
        self.send_response(201)
        self.send_header("X-Model", "digits")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.piece(b"first\n")
        if "slow" in self.path:
            self.go_on.wait(10)
        self.piece(json.dumps(told).encode())
        self.piece(b"")

    def piece(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        self.wfile.flush()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def model_port() -> Iterator[int]:
    ModelServer.go_on.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), ModelServer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model(platform: Served, job: tuple[str, str], model_port: int) -> tuple[str, str]:
    model, deployment = deployed(platform, job)
    serve(platform, deployment, model_port)
    platform.call("POST", f"/v1/models/{model}/environments/production/promote", {"deployment_id": deployment})
    return model, deployment


def test_every_documented_path_reaches_the_server(platform: Served, model: tuple[str, str]) -> None:
    for where in (f"deployment/{model[1]}", "environments/production", "production"):
        for what, path in (("predict", "/ask"), ("sync/v1/chat/completions?x=1%2F2", "/v1/chat/completions?x=1%2F2")):
            by_path = platform.http.post(f"/model-{model[0]}/{where}/{what}", json={"q": 1})
            host = {"Host": f"model-{model[0]}.api.localhost"}
            by_host = platform.http.post(f"/{where}/{what}", json={"q": 1}, headers=host)
            for answer in (by_path, by_host):
                first, told = answer.text.split("\n")
                assert (answer.status_code, answer.headers["x-model"], first) == (201, "digits", "first")
                assert (json.loads(told)["path"], json.loads(told)["body"]) == (path, '{"q":1}')


def test_the_callers_key_stays_with_the_platform(platform: Served, model: tuple[str, str]) -> None:
    answer = platform.http.post(f"/model-{model[0]}/production/predict", json={}, headers={"X-Mine": "yes"})

    headers = json.loads(answer.text.split("\n")[1])["headers"]
    assert headers["x-mine"] == "yes"
    assert platform.platform.api_key not in str(headers)


def test_an_answer_is_passed_on_while_it_is_made(platform: Served, model: tuple[str, str]) -> None:
    url = f"/model-{model[0]}/production/sync/slow"
    with platform.http.stream("POST", url, json={}) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        ModelServer.go_on.set()
        assert b"path" in b"".join(pieces)


def test_a_model_that_was_scaled_to_zero_is_woken(platform: Served, model: tuple[str, str], model_port: int) -> None:
    path = f"/v1/models/{model[0]}/deployments/{model[1]}"
    with platform.platform.database.writing() as session:
        row = session.query(Deployment).filter_by(id=model[1]).one()
        row.status = row.wanted = "SCALED_TO_ZERO"
    answers: list[httpx.Response] = []
    url = f"{platform.url}/model-{model[0]}/production/predict"
    headers = {"Authorization": f"Bearer {platform.platform.api_key}"}
    asking = threading.Thread(target=lambda: answers.append(httpx.post(url, json={}, headers=headers, timeout=30)))
    asking.start()
    while platform.call("GET", path)["status"] != "WAKING_UP":
        pass
    platform.move_on()
    serve(platform, model[1], model_port)
    asking.join()

    assert answers[0].status_code == 201


def test_what_does_not_serve_says_so(platform: Served, job: tuple[str, str]) -> None:
    model, deployment = deployed(platform, job)

    def ask(path: str) -> tuple[int, str]:
        answer = platform.http.post(f"/model-{model}/{path}", json={})
        return answer.status_code, answer.json()["message"]

    assert ask(f"deployment/{deployment}/predict") == (503, f"Deployment {deployment} is BUILDING and does not answer.")
    assert ask("production/predict") == (404, f"Nothing was promoted to 'production' of model {model} yet.")
    assert ask("deployment/nowhere/predict") == (404, "There is no deployment 'nowhere'.")
    assert ask("development/predict")[0] == 501
    serve(platform, deployment, 9)
    assert ask(f"deployment/{deployment}/predict")[0] == 502
