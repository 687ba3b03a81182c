"""Presigned addresses and upload credentials are good for what they were made for, however they are bent."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from served_platform import Served

from truss_train_core.local.server.presign import LIFETIME, Presigner

SETTINGS = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SECRETS = ("api-key", "presign-key", "platform.db", "lock", "format")
PIECES = st.sampled_from([
    "..", ".", "", "%2e%2e", "%2E%2e", ".%2e", "%252e%252e", "..%2f..", "%2f", "%252f", "%5c", "\\", "%00", "%0a",
    "%c0%ae", "..;", "%ef%bc%8e%ef%bc%8e", "\u2025", "\N{FULLWIDTH SOLIDUS}", "checkpoint-1", "checkpoint-2",
    "model.bin", "uploads", "rank-0", *SECRETS, "~", "?", "#", "%3f", "%23", " ",
])  # fmt: skip


def raw(platform: Served, method: str, target: str, headers: str = "", body: bytes = b"") -> tuple[int, bytes]:
    """The answer to a request whose target no HTTP library has tidied up; 0 where there is none."""
    address = urlsplit(platform.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n{headers}"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        connection.sendall(f"{head}{length}\r\n".encode("utf-8", "surrogatepass") + body)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    start, _, content = answer.partition(b"\r\n\r\n")
    return int(start.split(b" ", 2)[1]) if start.startswith(b"HTTP/") else 0, content


class Signed:
    """A platform with a file that an address was signed for, and one beside it that none was."""

    def __init__(self, platform: Served) -> None:
        self.platform = platform
        project = platform.project()
        self.job = (project, platform.running_job(project))
        for name in ("checkpoint-1", "checkpoint-2"):
            platform.store(*self.job, name)
        store = platform.platform.data.checkpoints(*self.job) / "rank-0"
        self.content = b"what the address is for"
        (store / "checkpoint-1/weights.bin").write_bytes(self.content)
        (store / "checkpoint-2/weights.bin").write_bytes(b"of another checkpoint")
        path = f"/v1/training_projects/{project}/jobs/{self.job[1]}/checkpoint_files"
        files = platform.call("GET", path)["presigned_urls"]
        (url,) = (file["url"] for file in files if "checkpoint-1/weights.bin" in file["url"])
        self.path, self.query = urlsplit(url).path, urlsplit(url).query
        assert raw(platform, "GET", f"{self.path}?{self.query}") == (200, self.content)


@pytest.fixture
def signed(platform: Served) -> Signed:
    return Signed(platform)


@SETTINGS
@given(st.data())
def test_an_address_with_another_path_opens_nothing_else(signed: Signed, data: st.DataObject) -> None:
    parts = signed.path.split("/")
    at = data.draw(st.integers(1, len(parts)))
    replaced = data.draw(st.integers(0, len(parts) - at))
    parts[at : at + replaced] = data.draw(st.lists(PIECES, max_size=6))

    status, content = raw(signed.platform, "GET", f"{quote('/'.join(parts), safe='/%?#;~')}?{signed.query}")

    assert status != 500
    assert status != 200 or content == signed.content


@settings(SETTINGS, max_examples=40)
@example(expires="١٢٣", signature="ä", more="")
@example(expires="9" * 5000, signature="", more="")
@given(
    expires=st.integers().map(str) | st.text(max_size=20) | st.just(""),
    signature=st.text(max_size=70) | st.text("0123456789abcdefABCDEF", min_size=64, max_size=64),
    more=st.sampled_from(["", "&path=api-key", "&signature=", "&expires=0"]),
)
def test_an_address_with_another_query_opens_nothing(signed: Signed, expires: str, signature: str, more: str) -> None:
    own = dict(part.split("=") for part in signed.query.split("&"))
    for query in (
        f"expires={quote(expires)}&signature={own['signature']}",
        f"expires={own['expires']}&signature={quote(signature, errors='replace')}",
        f"expires={quote(expires)}&signature={quote(signature, errors='replace')}",
    ):
        if expires.strip() == own["expires"] or signature == own["signature"]:
            continue
        assert raw(signed.platform, "GET", f"{signed.path}?{query}{more}")[0] == 403


def test_an_address_is_for_reading_only(signed: Signed) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        assert raw(signed.platform, method, f"{signed.path}?{signed.query}", body=b"x")[0] == 405
    assert raw(signed.platform, "HEAD", f"{signed.path}?{signed.query}") == (200, b"")
    assert raw(signed.platform, "GET", f"{signed.path}?{signed.query}") == (200, signed.content)


@SETTINGS
@given(path=st.text(), other=st.text(), now=st.integers(0, 2**40), later=st.integers(0, 2 * LIFETIME))
def test_a_signature_is_for_its_path_until_it_expires(path: str, other: str, now: int, later: int) -> None:
    presigner = Presigner(b"key")
    query = httpx.QueryParams(presigner.url("http://localhost", path, now).rpartition("?")[2])
    expires, signature = query["expires"], query["signature"]

    assert presigner.allows(path, expires, signature, now + later) == (later < LIFETIME)
    assert presigner.allows(other, expires, signature, now) == (other == path)
    assert not presigner.allows(path, str(int(expires) + 1), signature, now)
    assert not Presigner(b"another key").allows(path, expires, signature, now)


@pytest.mark.slow
@settings(SETTINGS, max_examples=40)
@given(pieces=st.lists(PIECES, min_size=1, max_size=6), upload=st.none() | PIECES, number=PIECES)
def test_upload_credentials_write_their_own_archive_only(
    platform: Served, pieces: list[str], upload: str | None, number: str
) -> None:
    granted = platform.call("GET", "/v1/blobs/credentials/train")
    creds, key = granted["creds"], granted["s3_key"]
    headers = (
        f"Authorization: AWS4-HMAC-SHA256 Credential={creds['aws_access_key_id']}/x\r\n"
        f"x-amz-security-token: {creds['aws_session_token']}\r\n"
    )
    root = platform.platform.data.root
    before = files_of(root)
    target = quote(f"/local_uploads/{key}/{'/'.join(pieces)}", safe="/%?#;~")
    query = "" if not upload else f"?uploadId={quote(upload)}&partNumber={quote(number)}"

    assert raw(platform, "PUT", target + query, headers, b"evil")[0] != 500
    if query:
        assert raw(platform, "PUT", f"/local_uploads/{key}{query}", headers, b"evil")[0] in (400, 404)

    written = files_of(root) - before
    assert written <= {f"uploads/{key}"}


def files_of(root: Path) -> set[str]:
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "platform.db" not in path.name
    }
