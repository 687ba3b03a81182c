from __future__ import annotations

import dataclasses
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import traceback

import pytest

from truss_train_core.errors import PackageError, UploadError
from truss_train_core.package import archive, archive_size, prepare, s3, upload
from truss_train_core.package.s3 import PART_SIZE, bucket_region

STORED_AS = "artifacts/training/job.tgz"


@pytest.fixture
def small(tree):
    return prepare(tree({"run.sh": "echo hello", "data/x": "y"}, under="small"))


@pytest.fixture
def large(tree):
    return prepare(tree({"run.sh": "echo hello", "weights.bin": os.urandom(4096) * (5 * PART_SIZE // 8192)}))


def contents(package):
    return b"".join(archive(package))


def after(size, action):
    """A progress callback that does something once that many bytes went by."""
    told = 0

    def progress(sent):
        nonlocal told
        told += sent
        if told >= size:
            action()

    return progress


def test_a_small_archive_goes_up_in_one_signed_request(s3, target, small):
    upload(small, target)
    assert s3.objects == {STORED_AS: contents(small)}
    (request,) = s3.requests
    assert (request.method, request.path) == ("PUT", f"/{STORED_AS}")
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert request.headers["x-amz-security-token"] == "the-token"


def test_a_large_archive_goes_up_in_parts_and_arrives_whole(s3, target, large):
    upload(large, target)
    assert s3.objects == {STORED_AS: contents(large)}
    assert sum(request.is_part for request in s3.requests) == 3
    assert all(int(request.headers["content-length"]) <= PART_SIZE for request in s3.requests)
    assert not s3.open_uploads


def test_an_empty_package_is_an_archive_too(s3, target, tmp_path):
    upload(prepare(tmp_path), target)
    assert s3.objects == {STORED_AS: bytes(10240)}


def test_progress_adds_up_to_the_size_of_the_archive_and_is_told_in_this_thread(s3, target, large):
    told = []
    upload(large, target, progress=lambda sent: told.append((sent, threading.current_thread())))
    assert sum(sent for sent, _ in told) == archive_size(large)
    assert {thread for _, thread in told} == {threading.current_thread()}


def test_a_part_that_fails_once_is_sent_again(s3, target, large):
    failures = iter([(500, "<Error><Code>InternalError</Code></Error>"), (0, "")])
    s3.fault = lambda request: next(failures, None) if request.query.get("partNumber") == "2" else None
    upload(large, target)
    assert s3.objects == {STORED_AS: contents(large)}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the obstore of Python 3.10 does not throw them away")
def test_a_store_that_keeps_failing_is_given_up_and_the_parts_are_thrown_away(s3, target, large):
    s3.fault = lambda request: (503, "<Error><Code>SlowDown</Code></Error>") if request.is_part else None
    with pytest.raises(UploadError, match=r"in bucket artifacts: SlowDown\. No job was created") as caught:
        upload(large, target, retry_for=0.1)
    assert (s3.objects, s3.open_uploads) == ({}, {})
    assert str(large.root) in str(caught.value)


def test_a_file_that_changes_during_the_upload_ends_it_and_the_parts_are_thrown_away(s3, target, large):
    weights = large.files[-1].source
    with pytest.raises(PackageError, match=r"weights\.bin changed"):
        upload(large, target, progress=after(2 * PART_SIZE, lambda: os.truncate(weights, 10)))
    assert (s3.objects, s3.open_uploads) == ({}, {})


def test_what_the_progress_callback_raises_comes_out_and_the_parts_are_thrown_away(s3, target, large):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(large, target, progress=after(2 * PART_SIZE, interrupt))
    assert (s3.objects, s3.open_uploads) == ({}, {})


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, "<Error><Code>AccessDenied</Code><Message>No way</Message></Error>", "AccessDenied: No way"),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", "NoSuchBucket"),
        (301, "<Error><Code>PermanentRedirect</Code></Error>", "incorrectly configured region"),
        (400, "<html>a proxy's page</html>", "400 Bad Request: <html>a proxy's page</html>"),
        (0, "", "error sending request"),
    ],
)
def test_a_refusal_says_what_the_store_said(s3, target, small, status, body, reason):
    s3.fault = lambda request: (status, body)
    with pytest.raises(UploadError) as caught:
        upload(small, target, retry_for=0.1)
    assert reason in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_store_that_is_not_there_is_an_upload_error(s3, target, small):
    s3.stop()
    with pytest.raises(UploadError, match="error sending request"):
        upload(small, target, retry_for=0.1)


def test_no_secret_is_in_the_error_even_if_the_store_repeats_it(s3, target, small):
    s3.fault = lambda request: (
        400,
        "<Error><Code>ExpiredToken</Code><Message>the-token and the-secret are too old</Message>"
        "<Token-0>the-token</Token-0><CanonicalRequest>x-amz-security-token:the-token</CanonicalRequest></Error>",
    )
    with pytest.raises(UploadError) as caught:
        upload(small, target)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "ExpiredToken: *** and *** are too old" in shown
    assert "the-token" not in shown
    assert "the-secret" not in shown
    assert caught.value.__context__ is None


def test_a_target_does_not_show_its_secrets(target):
    assert not re.search("the-secret|the-token", repr(target))


ENVIRONMENT = {
    **{f"AWS_{name}": "http://192.0.2.1:9" for name in ("ENDPOINT", "ENDPOINT_URL", "ENDPOINT_URL_S3", "PROXY_URL")},
    **{f"AWS_{name}": "users-own" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "TOKEN")},
    **{f"AWS_{name}": "users-own" for name in ("BUCKET", "BUCKET_NAME", "REGION", "DEFAULT_REGION", "PROFILE")},
    **{f"AWS_{name}": "true" for name in ("SKIP_SIGNATURE", "UNSIGNED_PAYLOAD", "S3_EXPRESS", "REQUEST_PAYER")},
    **{f"AWS_{name}": "true" for name in ("VIRTUAL_HOSTED_STYLE_REQUEST", "SSE_BUCKET_KEY_ENABLED")},
    **{f"AWS_{name}": "nonsense" for name in ("CHECKSUM_ALGORITHM", "CONDITIONAL_PUT", "COPY_IF_NOT_EXISTS")},
    **{f"AWS_{name}": "nonsense" for name in ("DISABLE_TAGGING", "DISABLE_BULK_DELETE", "IMDSV1_FALLBACK", "TIMEOUT")},
    "AWS_SSE_KMS_KEY_ID": "users-own",
    "AWS_SSE_CUSTOMER_KEY_BASE64": "dXNlcnMtb3du",
    "AWS_METADATA_ENDPOINT": "http://192.0.2.1:9",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/users-own",
    "AWS_ROLE_ARN": "users-own",
}


def test_the_users_own_aws_settings_play_no_part(s3, target, small, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    upload(small, dataclasses.replace(target, session_token=None))
    (request,) = s3.requests
    assert request.path == f"/{STORED_AS}"
    assert "Credential=AKIDEXAMPLE/" in request.headers["authorization"]
    assert "/us-east-1/s3/" in request.headers["authorization"]
    assert not re.search("users-own|dXNlcnMtb3du|kms", str(request))
    assert not {"x-amz-security-token", "x-amz-request-payer"} & set(request.headers)


def test_the_one_setting_that_cannot_be_overridden_is_refused(s3, target, small, monkeypatch):
    monkeypatch.setenv("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms")
    with pytest.raises(UploadError, match="AWS_SERVER_SIDE_ENCRYPTION"):
        upload(small, target)
    assert s3.requests == []


@pytest.mark.parametrize("endpoint", ["http://192.0.2.1:9000", "http://storage.example.com", "ftp://localhost", "x"])
def test_an_endpoint_elsewhere_must_be_https(target, small, endpoint):
    with pytest.raises(UploadError, match="not https"):
        upload(small, dataclasses.replace(target, endpoint_url=endpoint))


@pytest.mark.parametrize("endpoint", ["http://localhost:9", "http://127.0.0.1:9", "http://[::1]:9"])
def test_plain_http_is_for_this_machine(target, small, endpoint):
    with pytest.raises(UploadError, match="error sending request"):
        upload(small, dataclasses.replace(target, endpoint_url=endpoint), retry_for=0)


class TestRegion:
    def test_s3_tells_the_region_of_a_bucket_even_when_it_refuses(self, s3, monkeypatch):
        monkeypatch.setattr(s3, "answer", lambda request, body: (403, {"x-amz-bucket-region": "eu-west-1"}, ""))
        assert bucket_region("artifacts", s3.url) == "eu-west-1"
        (request,) = s3.requests
        assert (request.method, request.path) == ("HEAD", "/artifacts")
        assert "authorization" not in request.headers

    def test_no_answer_or_no_region_means_the_oldest_one(self, s3):
        s3.fault = lambda request: (404, "")
        assert bucket_region("artifacts", s3.url) == "us-east-1"
        s3.stop()
        assert bucket_region("artifacts", s3.url) == "us-east-1"

    def test_only_a_bucket_on_aws_of_unknown_region_is_asked_for(self, target, small, monkeypatch):
        asked = []
        monkeypatch.setattr(s3, "bucket_region", lambda bucket: asked.append(bucket) or "eu-west-1")
        s3._store(target, 1)
        s3._store(dataclasses.replace(target, endpoint_url=None, region="us-west-2"), 1)
        assert asked == []
        store = s3._store(dataclasses.replace(target, endpoint_url=None), 1)
        assert asked == ["artifacts"]
        assert store.config["endpoint"] == "https://s3.eu-west-1.amazonaws.com"


class TestProcesses:
    def test_it_works_in_a_forked_worker_and_off_the_main_thread(self, s3, target, small):
        """In a fresh interpreter, because this one has uploaded before."""
        code = (
            "import os, sys, threading, pathlib\n"
            "from truss_train_core.package import *\n"
            "def push():\n"
            "    target = UploadTarget('b', 'k', 'id', 'secret', endpoint_url=sys.argv[1])\n"
            "    upload(prepare(pathlib.Path(sys.argv[2])), target)\n"
            "if os.fork() == 0:\n"
            "    thread = threading.Thread(target=push); thread.start(); thread.join(); os._exit(0)\n"
            "os.wait()\n"
        )
        subprocess.run([sys.executable, "-c", code, s3.url, str(small.root)], check=True, timeout=30)
        assert "b/k" in s3.objects

    def test_a_process_forked_after_an_upload_is_refused_rather_than_left_hanging(self, s3, target, small):
        upload(small, target)
        context = multiprocessing.get_context("fork")
        answers = context.Queue()

        def push():
            try:
                upload(small, target)
            except UploadError as error:
                answers.put(str(error))

        worker = context.Process(target=push)
        worker.start()
        assert "forked from one that had already uploaded" in answers.get(timeout=20)
        worker.join(20)

    def test_obstore_is_not_loaded_before_the_first_upload(self):
        code = "import sys, truss_train_core.package; sys.exit('obstore' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)
