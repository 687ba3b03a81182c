from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_platform import Served

from truss_train_core.local.server.s3 import BUCKET
from truss_train_core.package import UploadTarget, prepare, upload


class Upload:
    """One pair of credentials, and requests with them."""

    def __init__(self, platform: Served) -> None:
        answer = platform.call("GET", "/v1/blobs/credentials/train")
        self.creds, self.key = answer["creds"], answer["s3_key"]
        self.http = platform.http
        self.artifact = {"s3_bucket": answer["s3_bucket"], "s3_key": self.key}
        self.file = platform.platform.data.upload(self.key)

    def send(
        self, method: str, content: Any = b"", *, query: str = "", key: str = "", **headers: str
    ) -> httpx.Response:
        access = self.creds["aws_access_key_id"]
        signed = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={access}/20260101/us-east-1/s3/aws4_request, Signature=0",
            "x-amz-security-token": self.creds["aws_session_token"],
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.http.request(method, f"/{BUCKET}/{key or self.key}{query}", content=content, headers=signed)

    def begin(self) -> str:
        return self.send("POST", query="?uploads").text.partition("<UploadId>")[2].partition("<")[0]


def complete(*numbers: int) -> str:
    parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>x</ETag></Part>" for number in numbers)
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"


def test_an_archive_of_our_own_client_arrives_whole(platform: Served, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large.bin").write_bytes(b"0123456789abcdef" * 2**20)  # 16 MiB: several parts
    (source / "config.py").write_text("x = 1")
    answer = platform.call("GET", "/v1/blobs/credentials/train")
    creds = answer["creds"]
    target = UploadTarget(
        bucket=answer["s3_bucket"], key=answer["s3_key"], access_key_id=creds["aws_access_key_id"],
        secret_access_key=creds["aws_secret_access_key"], session_token=creds["aws_session_token"],
        endpoint_url=creds["endpoint_url"], region=creds["region_name"],
    )  # fmt: skip
    sent: list[int] = []
    upload(prepare(source), target, progress=sent.append)

    assert platform.platform.data.upload(answer["s3_key"]).stat().st_size == sum(sent)
    platform.running_job(platform.project(), runtime={"artifacts": [{"s3_bucket": BUCKET, "s3_key": answer["s3_key"]}]})
    assert not any(left.is_dir() for left in platform.platform.data.parts.iterdir())


def test_an_object_is_stored_and_can_be_used_and_downloaded(platform: Served) -> None:
    one = Upload(platform)
    stored = one.send("PUT", b"archive")
    project = platform.project()
    job = platform.running_job(project, runtime={"artifacts": [one.artifact]})
    url = platform.call("GET", f"/v1/training_projects/{project}/jobs/{job}/download")["artifact_presigned_urls"][0]

    assert stored.headers["etag"] == f'"{hashlib.md5(b"archive").hexdigest()}"'
    assert platform.runner.specs[job].archives == (one.file,)
    assert httpx.get(url).content == b"archive"


def test_parts_may_arrive_in_any_order_and_twice(platform: Served) -> None:
    one = Upload(platform)
    upload_id = one.begin()
    query = f"?uploadId={upload_id}&partNumber="
    for number, content in ((3, b"third"), (1, b"wrong"), (2, b"second "), (1, b"first ")):
        assert one.send("PUT", content, query=f"{query}{number}").status_code == 200
    done = one.send("POST", complete(1, 2, 3), query=f"?uploadId={upload_id}")

    assert done.status_code == 200
    assert "CompleteMultipartUploadResult" in done.text
    assert one.file.read_bytes() == b"first second third"


def test_parts_are_taken_at_the_same_time(platform: Served) -> None:
    one = Upload(platform)
    upload_id = one.begin()
    contents = [bytes([65 + number]) * 3_000_000 for number in range(4)]
    threads = [
        threading.Thread(
            target=one.send, args=("PUT", content), kwargs={"query": f"?uploadId={upload_id}&partNumber={number}"}
        )
        for number, content in enumerate(contents, start=1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.send("POST", complete(1, 2, 3, 4), query=f"?uploadId={upload_id}")

    assert one.file.read_bytes() == b"".join(contents)


def test_a_missing_part_is_told_and_an_aborted_upload_is_gone(platform: Served) -> None:
    one = Upload(platform)
    upload_id = one.begin()
    one.send("PUT", b"first", query=f"?uploadId={upload_id}&partNumber=1")
    missing = one.send("POST", complete(1, 2), query=f"?uploadId={upload_id}")

    assert (missing.status_code, "InvalidPart" in missing.text) == (400, True)
    assert not one.file.exists()
    assert one.send("DELETE", query=f"?uploadId={upload_id}").status_code == 204
    assert list(platform.platform.data.parts.iterdir()) == []


def test_parts_that_were_joined_can_be_joined_again_since_the_answer_may_have_been_lost(platform: Served) -> None:
    one = Upload(platform)
    upload_id = one.begin()
    one.send("PUT", b"all", query=f"?uploadId={upload_id}&partNumber=1")
    first, second = (one.send("POST", complete(1), query=f"?uploadId={upload_id}") for _ in range(2))
    assert (first.status_code, first.text) == (second.status_code, second.text) == (200, first.text)
    assert one.file.read_bytes() == b"all"
    assert one.send("PUT", b"more", query=f"?uploadId={upload_id}&partNumber=2").status_code == 404
    assert one.send("POST", complete(1), query="?uploadId=../../x").status_code == 404


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_aws_chunks_and_their_trailer_are_decoded(platform: Served, size: int) -> None:
    content = b"some content that is sent in chunks\r\n with lines"
    crc = base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()
    chunks = b"".join(
        b"%x;chunk-signature=abc\r\n%b\r\n" % (len(content[at : at + 10]), content[at : at + 10])
        for at in range(0, len(content), 10)
    )
    body = chunks + f"0;chunk-signature=abc\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    one = Upload(platform)
    stored = one.send(
        "PUT", pieces, x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER", Content_Encoding="aws-chunked"
    )

    assert stored.status_code == 200, stored.text
    assert one.file.read_bytes() == content


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_amz_checksum_crc32": "AAAAAA=="}, "BadDigest"),
        ({"x_amz_checksum_sha256": "AAAA"}, "BadDigest"),
        ({"Content_MD5": "AAAA"}, "BadDigest"),
        ({"x_amz_content_sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, "IncompleteBody"),
    ],
)
def test_a_damaged_body_is_refused_and_not_kept(platform: Served, headers: dict[str, str], code: str) -> None:
    one = Upload(platform)
    refused = one.send("PUT", b"archive", **headers)

    assert (refused.status_code, f"<Code>{code}</Code>" in refused.text) == (400, True), refused.text
    assert not one.file.exists()
    assert list(platform.platform.data.parts.iterdir()) == []


def test_credentials_are_good_for_their_own_key_only(platform: Served) -> None:
    one, other = Upload(platform), Upload(platform)

    assert "AccessDenied" in one.send("PUT", b"x", key=other.key).text
    assert "InvalidToken" in one.send("PUT", b"x", x_amz_security_token="guessed").text
    assert "InvalidAccessKeyId" in one.send("PUT", b"x", Authorization=f"Api-Key {platform.platform.api_key}").text
    assert "NoSuchUpload" in one.send("PUT", b"x", query="?uploadId=../../..&partNumber=1").text
    assert "InvalidArgument" in one.send("PUT", b"x", query=f"?uploadId={one.begin()}&partNumber=..").text
    assert not other.file.exists()


def test_an_archive_goes_with_the_last_job_that_was_made_from_it(platform: Served) -> None:
    one = Upload(platform)
    one.send("PUT", b"archive")
    project = platform.project()
    first = platform.running_job(project, runtime={"artifacts": [one.artifact]})
    again = platform.call("POST", f"/v1/training_projects/{project}/jobs/{first}/recreate", {})["training_job"]["id"]
    platform.move_on()
    for job, remains in ((first, True), (again, False)):
        platform.call("DELETE", f"/v1/training_projects/{project}/jobs/{job}")
        platform.runner.set(job, "stopped")
        platform.move_on()
        assert one.file.exists() is remains
