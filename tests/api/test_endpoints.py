"""Every endpoint is one of the OpenAPI's, and what must not be repeated is marked so."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from truss_train_core.api import endpoints, models
from truss_train_core.api.request import Request

DOCS = Path(__file__).parents[2] / "docs"
PAGE = runpy.run_path(str(DOCS / "generate_api_page.py"))
REQUESTS: list[tuple[str, Request[Any]]] = list(PAGE["requests"]())
CREATES = {"create_job", "recreate_job", "deploy_checkpoints", "promote_to_environment", "promote_to_production"}
ASKS_A_MODEL = "predict"  # not an endpoint of the API; whoever asks knows whether asking twice matters


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(made, id=f"{name} {made.path}")
        for name, made in REQUESTS
        if made.to == "api" and not made.path.startswith(PAGE["LOCAL"])
    ],
)
def test_an_endpoint_is_one_of_the_openapis(request_: Request[Any]) -> None:
    assert PAGE["operation_of"](request_), f"the OpenAPI has no {request_.method} {request_.path}"


def test_what_creates_without_a_key_of_its_own_is_not_repeated() -> None:
    assert {name for name, made in REQUESTS if not made.repeatable} == CREATES
    added = endpoints.update_interactive_session("p", "j", "s", timeout_minutes=60)
    assert not added.repeatable, "minutes that are added twice are twice as many"
    assert endpoints.update_interactive_session("p", "j", "s", trigger="on_failure").repeatable
    assert endpoints.deploy_checkpoints({"dry_run": True}).repeatable


def test_what_is_not_given_is_not_changed() -> None:
    assert endpoints.update_job("p", "j", priority=0).body == {"priority": 0}
    assert endpoints.update_job("p", "j", availability_model="spot").body == {"availability_model": "spot"}


def test_a_name_cannot_lead_to_another_path() -> None:
    assert endpoints.delete_secret("../models/m").path == "/v1/secrets/..%2Fmodels%2Fm"
    assert endpoints.get_environment("m", "a?b#c").path == "/v1/models/m/environments/a%3Fb%23c"


def test_no_secret_is_shown() -> None:
    made = endpoints.upsert_secret(models.UpsertSecret(name="token", value="hunter2"))
    codes = {"auth_codes": [{"session_id": "s", "replica_id": "g00r0", "auth_code": "hunter2", "auth_url": "u"}]}
    certificate = {
        "ssh_certificate": "hunter2", "jwt": "hunter2", "proxy_address": "h:1",
        "ssh_cert_expires_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    answers = (models.AuthCodesAnswer.model_validate(codes), models.SSHCertificate.model_validate(certificate))

    assert made.body == {"name": "token", "value": "hunter2"}
    assert "hunter2" not in f"{made!r} {answers!r}"


def test_the_page_of_endpoints_is_up_to_date() -> None:
    hint = "run: python docs/generate_api_page.py"
    assert (DOCS / "api.md").read_text() == PAGE["page"](), hint
