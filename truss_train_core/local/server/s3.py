"""The part of S3 that uploads need, path-style: PUT of an object, and multipart uploads.

Each pair of credentials is good for one key, for half a day: the access key and the session token of a request must be
ones that were handed out for the key it names. The signature itself is not verified; the token is as secret as the key
it would be made with. Bodies go to disk as they arrive. Parts may arrive in any order and more than once; an object
appears when it is whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import shutil
import zlib
from collections.abc import AsyncIterable
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from truss_train_core.api import models
from truss_train_core.local.server.aws_chunked import Decoder, Malformed
from truss_train_core.local.server.data_dir import NO_SPACE
from truss_train_core.local.server.database import Upload, new_id
from truss_train_core.local.server.platform import Platform

BUCKET = "local_uploads"
"""The only bucket. The underscore keeps clients from making a host name of it, which would not resolve."""
REGION = "us-east-1"
LIFETIME = 12 * 3600
"""Seconds for which credentials are good."""
_BUFFER = 1 << 20
_LARGEST_LIST = 4 << 20  # bytes of a list of 10,000 parts, with room


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def hand_out(platform: Platform, base_url: str) -> models.UploadCredentials:
    """Credentials for one archive, under a key of its own."""
    upload = Upload(
        key=f"training/{new_id()}{new_id()}.tgz",
        access_key_id=f"LOCAL{secrets.token_hex(8).upper()}",
        session_token=secrets.token_urlsafe(32),
        created_at=platform.now(),
    )
    with platform.database.writing() as session:
        session.add(upload)
    return models.UploadCredentials(
        creds=models.AWSCredentials(
            aws_access_key_id=upload.access_key_id,
            aws_secret_access_key=secrets.token_urlsafe(30),
            aws_session_token=upload.session_token,
            endpoint_url=_numeric(base_url),
            region_name=REGION,
        ),
        s3_bucket=BUCKET,
        s3_key=upload.key,
    )


def _numeric(base_url: str) -> str:
    """The address with a number for a host on this machine: clients put the bucket's name before a named host."""
    parts = urlsplit(base_url)
    name = parts.hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return parts._replace(netloc=f"127.0.0.1:{parts.port}" if parts.port else "127.0.0.1").geturl()
    return base_url


async def serve(request: Request) -> Response:
    """Answer one request of the S3 protocol."""
    try:
        return await _serve(request)
    except _Refused as error:
        return _error(error.status, error.code, error.message)
    except (Malformed, ClientDisconnect) as error:
        return _error(400, "IncompleteBody", str(error))
    except OSError as error:
        if error.errno in NO_SPACE:
            # S3's clients repeat a 5xx for minutes, and the disk would still be full.
            return _error(400, "InsufficientStorage", "The disk of the local platform is full.")
        raise


async def _serve(request: Request) -> Response:
    platform: Platform = request.app.state.platform
    key = request.path_params["key"]
    await run_in_threadpool(_check_credentials, platform, request, key)
    query = parse_qs(request.url.query, keep_blank_values=True)
    upload_id = query.get("uploadId", [""])[0]
    if request.method == "PUT" and upload_id:
        part = _part(_open_upload(platform, key, upload_id), query.get("partNumber", [""])[0])
        return _stored(await _store(request, platform, part))
    if request.method == "PUT":
        etag = await _store(request, platform, platform.data.upload(key))
        await run_in_threadpool(_finish, platform, key)
        return _stored(etag)
    if request.method == "POST" and "uploads" in query:
        return _xml("InitiateMultipartUploadResult", Bucket=BUCKET, Key=key, UploadId=_begin(platform, key))
    if request.method == "POST" and upload_id:
        numbers = await _listed_parts(request)
        if not _was_joined(platform, key, upload_id):
            await run_in_threadpool(_join, platform, key, _open_upload(platform, key, upload_id), numbers)
        return _xml("CompleteMultipartUploadResult", Bucket=BUCKET, Key=key, ETag=f'"{upload_id}-{len(numbers)}"')
    if request.method == "DELETE" and upload_id:
        await run_in_threadpool(shutil.rmtree, _open_upload(platform, key, upload_id))
        return Response(status_code=204)
    raise _Refused(501, "NotImplemented", f"The local platform takes uploads only, not {request.method}.")


# ---------------------------------------------------------------- who may


def _check_credentials(platform: Platform, request: Request, key: str) -> None:
    match = re.search(r"Credential=([^/,\s]+)/", request.headers.get("authorization", ""))
    with platform.database.reading() as session:
        upload = session.scalar(select(Upload).where(Upload.access_key_id == (match[1] if match else "")))
    if upload is None:
        raise _Refused(403, "InvalidAccessKeyId", "These credentials are not of this platform.")
    if not secrets.compare_digest(
        request.headers.get("x-amz-security-token", "").encode(), upload.session_token.encode()
    ):
        raise _Refused(403, "InvalidToken", "The session token is not the one that came with this access key.")
    if platform.now() > upload.created_at + LIFETIME:
        raise _Refused(400, "ExpiredToken", "These credentials have expired; ask for new ones.")
    if upload.key != key:
        raise _Refused(403, "AccessDenied", f"These credentials are for {upload.key}, not for {key}.")


# ---------------------------------------------------------------- bodies


class _Arriving:
    """A body on its way to disk, and the sums that its sender may have named."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._crc32 = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def absorb(self, data: bytes) -> None:
        self._file.write(data)
        self._md5.update(data)
        self._sha256.update(data)
        self._crc32 = zlib.crc32(data, self._crc32)

    @property
    def etag(self) -> str:
        return self._md5.hexdigest()

    def check(self, headers: Any) -> None:
        """Compare with every sum that is named; kinds that are not computed here are taken on trust."""
        sums = {
            "content-md5": self._md5.digest(),
            "x-amz-checksum-crc32": self._crc32.to_bytes(4, "big"),
            "x-amz-checksum-sha256": self._sha256.digest(),
        }
        for name, digest in sums.items():
            if name in headers and _unbase64(headers[name]) != digest:
                raise _Refused(400, "BadDigest", f"The body does not agree with {name}.")
        claimed = headers.get("x-amz-content-sha256", "")
        if re.fullmatch("[0-9a-f]{64}", claimed) and claimed != self._sha256.hexdigest():
            raise _Refused(400, "XAmzContentSHA256Mismatch", "The body does not agree with x-amz-content-sha256.")


async def _store(request: Request, platform: Platform, target: Path) -> str:
    """Write the body to `target`, whole or not at all; returns its ETag."""
    decoder = Decoder()
    body: AsyncIterable[bytes] = request.stream()
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        body = decoder.decode(body)
    incoming = platform.data.parts / f"{secrets.token_hex(8)}.incoming"
    try:
        with incoming.open("wb") as file:
            arriving = _Arriving(file)
            buffer = bytearray()
            async for piece in body:
                buffer += piece
                if len(buffer) >= _BUFFER:
                    await run_in_threadpool(arriving.absorb, bytes(buffer))
                    buffer.clear()
            await run_in_threadpool(arriving.absorb, bytes(buffer))
        arriving.check({**request.headers, **decoder.trailer})
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming.replace(target)
    finally:
        incoming.unlink(missing_ok=True)
    return arriving.etag


def _unbase64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


# ---------------------------------------------------------------- parts


def _begin(platform: Platform, key: str) -> str:
    upload_id = secrets.token_hex(16)
    _parts_of(platform, key, upload_id).mkdir(parents=True)
    return upload_id


def _parts_of(platform: Platform, key: str, upload_id: str) -> Path:
    return platform.data.parts / f"{key.replace('/', '_')}.{upload_id}"


def _was_joined(platform: Platform, key: str, upload_id: str) -> bool:
    return _is_id(upload_id) and _parts_of(platform, key, upload_id).is_file()


def _is_id(upload_id: str) -> bool:
    return re.fullmatch("[0-9a-f]{32}", upload_id) is not None


def _open_upload(platform: Platform, key: str, upload_id: str) -> Path:
    parts = _parts_of(platform, key, upload_id)
    if not _is_id(upload_id) or not parts.is_dir():
        raise _Refused(404, "NoSuchUpload", "There is no such multipart upload; it was completed or aborted.")
    return parts


def _part(parts: Path, number: str) -> Path:
    if not number.isdecimal() or not 1 <= int(number) <= 10_000:
        raise _Refused(400, "InvalidArgument", "A part's number is 1 to 10000.")
    return parts / str(int(number))


async def _listed_parts(request: Request) -> list[str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_LIST:
            raise _Refused(400, "MalformedXML", "The list of parts is too long.")
    numbers = re.findall(r"<PartNumber>\s*(\d+)\s*</PartNumber>", body.decode("utf-8", "replace"))
    if not numbers:
        raise _Refused(400, "MalformedXML", "There is no part in the list of parts.")
    return numbers


def _join(platform: Platform, key: str, parts: Path, numbers: list[str]) -> None:
    """Make the object of its parts; a file takes their place, so that it does no harm to ask again, as with S3."""
    whole = parts / "whole"
    with whole.open("wb") as target:
        for number in numbers:
            part = _part(parts, number)
            if not part.exists():
                raise _Refused(400, "InvalidPart", f"Part {number} was not uploaded.")
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, _BUFFER)
    target_path = platform.data.upload(key)
    target_path.parent.mkdir(parents=True, exist_ok=True)
    whole.replace(target_path)
    _finish(platform, key)
    shutil.rmtree(parts)
    parts.touch()


def _finish(platform: Platform, key: str) -> None:
    with platform.database.writing() as session:
        session.get_one(Upload, key).complete = True


# ---------------------------------------------------------------- answers


def _stored(etag: str) -> Response:
    return Response(status_code=200, headers={"ETag": f'"{etag}"'})


def _xml(root: str, **fields: str) -> Response:
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'
    return Response(text, media_type="application/xml")


def _error(status: int, code: str, message: str) -> Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    )
    return Response(text, status_code=status, media_type="application/xml")
