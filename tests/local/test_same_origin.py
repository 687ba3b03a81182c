"""What browsers may bring to the platform: every address behind one rule."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served_platform import Served, served

FOREIGN_NAMES = (
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.nip.example",
    "",
    "[::1",
    "x:y",
)
OWN_NAMES = ("localhost", "LOCALHOST:8000", "localhost.", "api.localhost:8000", "model-abc.localhost", "[::1]:8000",
             "192.168.1.7:8000", socket.gethostname())  # fmt: skip


@pytest.fixture
def addresses(platform: Served) -> list[tuple[str, str]]:
    """A call to each kind of address, pages and presigned ones among them; the client has the key."""
    project = platform.project()
    job = platform.running_job(project)
    platform.store(project, job, "checkpoint-1")
    files = platform.call("GET", f"/v1/training_projects/{project}/jobs/{job}/checkpoint_files")["presigned_urls"]
    key = platform.call("GET", "/v1/blobs/credentials/train")["s3_key"]
    return [
        ("GET", "/v1/users/me"), ("POST", "/v1/secrets"), ("POST", "/graphql/"), ("GET", "/health"), ("GET", "/"),
        ("GET", "/static/page.js"), ("POST", "/model-abc/production/predict"), ("PUT", f"/local_uploads/{key}"),
        ("GET", files[0]["url"].removeprefix(platform.url)),
    ]  # fmt: skip


def ask(platform: Served, addresses: list[tuple[str, str]], **headers: str) -> Iterator[httpx.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    for method, path in addresses:
        yield platform.http.request(method, path, headers=named)


def test_a_name_that_somebody_pointed_at_this_machine_is_refused_everywhere(
    platform: Served, addresses: list[tuple[str, str]]
) -> None:
    for name in FOREIGN_NAMES:
        for answer in ask(platform, addresses, Host=name):
            assert answer.status_code in (400, 403), (name, answer.url)  # 400: no name at all, to the HTTP library
            if answer.status_code == 403:
                assert "does not answer to the name" in answer.json()["message"]


def test_the_names_of_this_machine_are_answered(platform: Served, addresses: list[tuple[str, str]]) -> None:
    for name in OWN_NAMES:
        for answer in ask(platform, addresses, Host=name):
            assert "does not answer to the name" not in answer.text, (name, answer.url)
    assert platform.http.get("/v1/users/me", headers={"Host": "api.localhost:8000"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Dest": "empty"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    ],
)
def test_what_the_page_of_another_site_asks_for_is_refused_even_with_the_key(
    platform: Served, addresses: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    for answer in ask(platform, addresses, **headers):
        assert answer.status_code == 403, answer.url
        assert answer.json() == {"message": "The local platform takes no requests from the pages of other sites."}
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert platform.call("GET", "/v1/secrets") == {"secrets": []}


def test_what_our_own_pages_ask_for_is_answered(platform: Served, addresses: list[tuple[str, str]]) -> None:
    for answer in ask(platform, addresses, Origin=platform.url, Sec_Fetch_Site="same-origin"):
        assert "other sites" not in answer.text, answer.url
    assert platform.http.get("/v1/users/me", headers={"Origin": platform.url}).status_code == 200


def test_a_link_on_another_site_can_be_followed_but_not_a_form(
    platform: Served, addresses: list[tuple[str, str]]
) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    assert platform.http.get("/jobs", headers=followed).status_code == 401  # which says how to sign in
    assert platform.http.get(addresses[-1][1], headers=followed).status_code == 200
    assert platform.http.post("/v1/secrets", headers={"Origin": "https://evil.example", **followed}).status_code == 403


def test_names_that_it_was_told_are_answered_with_those_below_them(tmp_path: Path) -> None:
    with served(tmp_path / "data", allowed_hosts=("GPU-box.corp",)) as platform:
        for name in ("gpu-box.corp:8000", "model-abc.gpu-box.corp"):
            assert platform.http.get("/health", headers={"Host": name}).status_code != 403
        refusal = platform.http.get("/health", headers={"Host": "other.corp"})

    assert refusal.status_code == 403
    assert "--allowed-host other.corp" in refusal.json()["message"]
