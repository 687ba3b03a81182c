"""The archive into object storage: streamed while it is made, in parts, in bounded memory.

obstore does the S3 side: signatures, multipart, repeated requests, and the abort of an upload that fails half-way
(but its last version for Python 3.10 leaves the parts to the bucket's own rules when it is the store that fails). It is
imported on first use, because it is large. Two of its habits are countered here:

  * It reads AWS_* variables of the environment as defaults. The credentials of an upload are complete, so every
    setting that the environment could slip in is given explicitly.
  * Its runtime does not survive a fork: used again in a forked child, it can hang the child and crash the parent.

Without an endpoint the bucket is on AWS. Its region, which the credentials need not tell, is asked of S3 itself, which
answers that without credentials; obstore does not follow redirects between regions.
"""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from truss_train_core.errors import PackageError, UploadError
from truss_train_core.package.gather import Package
from truss_train_core.package.tar import archive, archive_size

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential, S3Store

PART_SIZE = 6 * 1024**2
"""Bytes of a part; an archive of no more than that goes up in one request."""

PARTS_AT_ONCE = 4
REQUEST_TIMEOUT = timedelta(minutes=3)  # all parts at once over 1.5 Mbit/s
_DEFAULT_REGION = "us-east-1"

_first_upload_in: int | None = None
"""The process in which obstore's runtime was started, if any: what must be known after a fork."""


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where an archive goes, and the temporary credentials for it.

    Attributes:
        endpoint_url: of an S3-compatible store, addressed path-style; None for AWS. Plain http only for this machine.
        region: of the bucket; None to find out.
    """

    bucket: str
    key: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    region: str | None = None


def upload(
    package: Package,
    target: UploadTarget,
    *,
    progress: Callable[[int], None] | None = None,
    retry_for: float = 180.0,
) -> None:
    """Archive `package` and store it at `target`, all or nothing.

    Args:
        package: what to send.
        target: where to.
        progress: called with each number of bytes handed over, in this thread; their sum is `archive_size(package)`.
        retry_for: seconds for which a request is repeated when the store cannot be reached or answers 5xx.

    Raises:
        PackageError: a file vanished or changed meanwhile. Nothing was stored.
        UploadError: the store could not be reached, or refused. Nothing was stored.
    """
    failure = None
    store = _store(target, retry_for)
    try:
        if archive_size(package) <= PART_SIZE:
            store.put(target.key, b"".join(_counted(package, progress)), use_multipart=False)
        else:
            store.put(
                target.key,
                _counted(package, progress),
                use_multipart=True,
                chunk_size=PART_SIZE,
                max_concurrency=PARTS_AT_ONCE,
            )
    except PackageError:
        raise
    except Exception as error:
        failure = _reason(str(error), target)
    if failure is not None:
        # Raised outside of the except block, and so without the original error: its text may quote the session token.
        raise UploadError(
            f"The archive of {package.root} was not stored in bucket {target.bucket}: {failure}.",
            hint="No job was created; pushing again is safe.",
        )


def _counted(package: Package, progress: Callable[[int], None] | None) -> Iterator[bytearray]:
    for chunk in archive(package):
        yield chunk
        if progress:
            progress(len(chunk))


def _store(target: UploadTarget, retry_for: float) -> S3Store:
    _refuse_after_fork()
    from obstore.store import S3Store

    region = target.region or (_DEFAULT_REGION if target.endpoint_url else bucket_region(target.bucket))
    endpoint = target.endpoint_url or f"https://s3.{region}.amazonaws.com"
    return S3Store(
        target.bucket,
        config=_config(endpoint, region),
        credential_provider=lambda: _credential(target),
        client_options={"allow_http": _may_use_http(endpoint), "timeout": REQUEST_TIMEOUT},
        retry_config={"retry_timeout": timedelta(seconds=retry_for)},
    )


def _refuse_after_fork() -> None:
    global _first_upload_in
    if _first_upload_in is None:
        _first_upload_in = os.getpid()
    elif _first_upload_in != os.getpid():
        raise UploadError(
            "This process was forked from one that had already uploaded, and cannot upload itself.",
            hint="Start such processes with multiprocessing's 'spawn' or 'forkserver' method, or use threads.",
        )


def _config(endpoint: str, region: str) -> S3Config:
    """Every setting that obstore would otherwise take from AWS_* variables, at its neutral value."""
    if "AWS_SERVER_SIDE_ENCRYPTION" in os.environ:  # has no neutral value
        raise UploadError(
            "AWS_SERVER_SIDE_ENCRYPTION is set and would be applied to a bucket that is not yours.",
            hint="Unset it for this process.",
        )
    return {
        "region": region,
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "virtual_hosted_style_request": False,
        "skip_signature": False,
        "unsigned_payload": False,
        "checksum_algorithm": "SHA256",
        "s3_express": False,
        "request_payer": False,
        "conditional_put": "etag",
        "copy_if_not_exists": "multipart",
        "disable_tagging": True,
        "disable_bulk_delete": False,
        "imdsv1_fallback": False,
    }


def _credential(target: UploadTarget) -> S3Credential:
    # A provider rather than settings: a token that is absent here must not come from the environment either.
    return {
        "access_key_id": target.access_key_id,
        "secret_access_key": target.secret_access_key,
        "token": target.session_token,
        "expires_at": None,
    }


def _may_use_http(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    if parts.scheme == "https":
        return False
    host = parts.hostname or ""
    if parts.scheme == "http" and (host in ("127.0.0.1", "::1", "localhost") or host.endswith(".localhost")):
        return True
    raise UploadError(
        f"The API asks to upload to {endpoint}, which is not https.",
        hint="Plain http is used on this machine only.",
    )


def bucket_region(bucket: str, s3_url: str = "https://s3.amazonaws.com") -> str:
    """The region of a bucket on AWS, as S3 tells anyone who asks, or us-east-1 if it does not say."""
    request = urllib.request.Request(f"{s3_url}/{bucket}", method="HEAD")  # noqa: S310 (the scheme is ours)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            headers = answer.headers
    except urllib.error.HTTPError as error:  # 403 and 301 are the usual answers, and carry the header as well
        headers = error.headers
    except OSError:
        return _DEFAULT_REGION
    return str(headers.get("x-amz-bucket-region") or _DEFAULT_REGION)


def _reason(text: str, target: UploadTarget) -> str:
    """What the store said, without what else its answer may quote: S3 repeats a rejected token, headers and all."""
    code, message = (re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("Code", "Message"))
    if code:
        reason = ": ".join(found[1] for found in (code, message) if found)
    else:
        reason = text.partition("\n")[0].rpartition(" - ")[2]
    for secret in (target.secret_access_key, target.session_token):
        if secret:
            reason = reason.replace(secret, "***")
    return reason.strip().rstrip(".")[:300]
