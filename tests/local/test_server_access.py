from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from served_platform import Served

from truss_train_core.definitions import Accelerator
from truss_train_core.local.server.app import LARGEST_BODY


@pytest.mark.parametrize("scheme", ["Api-Key", "Bearer", "bearer"])
def test_the_key_is_accepted_in_both_forms(platform: Served, scheme: str) -> None:
    key = platform.platform.api_key
    answer = platform.http.get("/v1/users/me", headers={"Authorization": f"{scheme} {key}"})

    assert answer.status_code == 200


@pytest.mark.parametrize("header", ["", "Api-Key", "Api-Key wrong", "Basic {key}", "{key}"])
@pytest.mark.parametrize("path", ["/v1/teams", "/v1/unheard-of", "/graphql/", "/model-abc/production/predict"])
def test_without_the_key_nothing_is_told(platform: Served, path: str, header: str) -> None:
    authorization = header.format(key=platform.platform.api_key)
    answer = platform.http.post(path, headers={"Authorization": authorization}, json={})

    assert (answer.status_code, answer.json()) == (401, {"message": "Invalid API key"})


def test_health_needs_no_key(platform: Served) -> None:
    assert platform.http.get("/health", headers={"Authorization": ""}).status_code == 200


def test_what_is_not_served_says_so(platform: Served) -> None:
    for method, path in (("GET", "/v1/chains"), ("PATCH", "/v1/instance_types"), ("DELETE", "/v1/users/me")):
        message = platform.call(method, path, expect=501)["message"]
        assert message == f"The local platform does not serve {method} {path}."


def test_the_api_also_answers_on_the_host_that_the_truss_cli_derives(platform: Served) -> None:
    answer = platform.http.get("/v1/users/me", headers={"Host": "api.localhost:8000"})

    assert answer.status_code == 200


@pytest.mark.parametrize("content", [b"{", b"[]", b'"text"'])
def test_a_body_that_is_no_json_object_is_refused(platform: Served, content: bytes) -> None:
    answer = platform.http.post("/v1/secrets", content=content)

    assert answer.status_code == 400
    assert answer.json()["code"] == "VALIDATION_ERROR"


def test_a_body_that_is_too_large_is_refused_before_it_is_held(platform: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield bytes(1024**2)

    def send() -> httpx.Response | None:
        try:
            return platform.http.post("/v1/secrets", content=endless())
        except httpx.WriteError:  # the server hung up on what nobody reads
            return None

    answer = send()
    assert answer is None or answer.status_code == 413
    assert platform.call("POST", "/v1/secrets", {"name": "n", "value": "x" * LARGEST_BODY}, expect=413)["message"]
    assert platform.call("GET", "/v1/secrets") == {"secrets": []}


def test_a_call_that_breaks_off_does_nothing_and_is_no_failure_of_the_server(
    platform: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", int(platform.url.rpartition(":")[2]))) as caller:
        head = f"POST /v1/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Api-Key {platform.platform.api_key}\r\n"
        caller.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    assert platform.call("GET", "/v1/secrets") == {"secrets": []}
    assert not caplog.records


def test_secrets_are_kept_and_listed_but_never_told(platform: Served) -> None:
    platform.call("POST", "/v1/secrets", {"name": "token", "value": "first-value"})
    made = platform.call("POST", "/v1/secrets", {"name": "token", "value": "second-value"})
    team = platform.call("GET", "/v1/teams")["teams"][0]["id"]

    assert "value" not in str(made)
    assert platform.call("GET", "/v1/secrets") == {"secrets": [made]}
    assert platform.call("GET", f"/v1/teams/{team}")["name"] == made["team_name"]
    assert platform.call("GET", f"/v1/teams/{team}/secrets") == {"secrets": [made]}
    assert platform.call("GET", "/v1/teams/nowhere/secrets", expect=404)["message"].startswith("There is no team")
    assert platform.call("DELETE", "/v1/secrets/token") == {"name": "token"}
    platform.call("DELETE", "/v1/secrets/token", expect=404)


def test_secrets_of_a_team_are_its_own(platform: Served) -> None:
    body = {"training_project": {"name": "digits", "team_name": "vision"}}
    platform.call("POST", "/v1/training_projects", body)
    (vision,) = platform.call("GET", "/v1/teams", name="vision")["teams"]
    secrets = f"/v1/teams/{vision['id']}/secrets"
    made = platform.call("POST", secrets, {"name": "token", "value": "hunter2"})

    assert made["team_name"] == "vision"
    assert platform.call("GET", secrets) == {"secrets": [made]}
    assert platform.call("GET", "/v1/secrets") == {"secrets": []}
    project = platform.call("POST", f"/v1/teams/{vision['id']}/training_projects", {"training_project": {"name": "n"}})
    variables = {"environment_variables": {"TOKEN": {"name": "token"}}}
    assert platform.job(project["training_project"]["id"], runtime=variables)["current_status"]
    assert platform.call("DELETE", f"{secrets}/token") == {"name": "token"}
    assert platform.call("GET", secrets) == {"secrets": []}


def test_instance_types_cover_every_accelerator(platform: Served) -> None:
    types = platform.call("GET", "/v1/instance_types")["instance_types"]
    assert {kind["gpu_type"] for kind in types} == {None, *(gpu.value for gpu in Accelerator)}
