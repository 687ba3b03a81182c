"""Which version of a dataset there is: the commit of the Hugging Face Hub, or a fingerprint of its files.

    found = datasets.look("s3://bucket/reviews")
    print(found.version, found.files, found.size_bytes)

A fingerprint is made of names, sizes and tags, so that nothing is read but a listing. Whoever has a listing already, an
engine with storage connections of its own, hands it over as values:

    datasets.fingerprint("s3://bucket/reviews", [DataFile(name="a.csv", size=3, tag=etag)])
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from truss_train_core.errors import DatasetNotFound, DatasetUnavailable
from truss_train_core.values import Value

__all__ = ["HUB", "HUGGING_FACE", "DataFile", "DatasetVersion", "fingerprint", "look", "look_at_hub"]

HUGGING_FACE = "hf://"
"""What the address of a dataset of the Hub begins with: "hf://organization/dataset", "…@revision"."""
HUB = "https://huggingface.co"
"""Where the Hub is unless somebody says otherwise."""
_TIMEOUT = 60.0


class DataFile(Value):
    """A file of a dataset, as a listing has it.

    Attributes:
        name: below the dataset's root.
        size: bytes.
        tag: what changes with the content: an ETag, or the time of the last change.
    """

    name: str
    size: int
    tag: str


class DatasetVersion(Value):
    """A dataset as it was found.

    Attributes:
        source: its address, as it was given.
        version: equal for as long as the content is: 16 hex digits, or the commit of the Hub.
        files: how many; None where nothing was listed.
        size_bytes: of all; None where nothing was listed.
    """

    source: str
    version: str
    files: int | None = None
    size_bytes: int | None = None


def look(source: str) -> DatasetVersion:
    """The version of a dataset as it is now. Blocking.

    Args:
        source: a directory or file, the address of an object store's prefix ("s3://bucket/prefix", "gs://…", "az://…",
            with credentials from the environment), or a dataset of the Hub, of which HF_ENDPOINT and HF_TOKEN say
            where and with which token.

    Raises:
        DatasetNotFound: there is nothing there.
        DatasetUnavailable: the Hub does not answer, or with an error. Looking again may help.
    """
    if source.startswith(HUGGING_FACE):
        return look_at_hub(source, endpoint=os.environ.get("HF_ENDPOINT") or HUB, token=os.environ.get("HF_TOKEN"))
    return fingerprint(source, _stored(source) if "://" in source else _local(Path(source)))


def fingerprint(source: str, files: Iterable[DataFile]) -> DatasetVersion:
    """The version that a listing of files makes, in whatever order they are listed.

    Raises:
        DatasetNotFound: there are none.
    """
    listed = sorted((file.name, file.size, file.tag) for file in files)
    if not listed:
        raise DatasetNotFound(f"There is no file at {source}.")
    digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]
    return DatasetVersion(
        source=source, version=digest, files=len(listed), size_bytes=sum(size for _, size, _ in listed)
    )


def look_at_hub(source: str, *, endpoint: str = HUB, token: str | None = None) -> DatasetVersion:
    """The commit to which a dataset's revision, "main" unless the source names one, points now. Blocking.

    Args:
        source: "hf://organization/dataset", or with "@revision".
        endpoint: address of the Hub or of a mirror.
        token: for datasets that are not public.

    Raises:
        DatasetNotFound: there is no such dataset or revision, or not one that the token may read.
        DatasetUnavailable: no answer, or an error. Looking again may help.
    """
    import httpx

    dataset, _, revision = source.removeprefix(HUGGING_FACE).removeprefix("datasets/").partition("@")
    address = f"{endpoint.rstrip('/')}/api/datasets/{dataset}/revision/{revision or 'main'}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(address, headers=headers, follow_redirects=True, timeout=_TIMEOUT)
        if answer.status_code in (401, 403, 404):  # the Hub does not tell those who may not read what there is
            raise DatasetNotFound(
                f"There is no dataset {source} at {endpoint}, or not one that may be read "
                f"{'with this token' if token else 'without a token'}."
            )
        commit = answer.raise_for_status().json()["sha"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise DatasetUnavailable(f"{endpoint} does not say which version of {source} there is: {error!r}") from error
    return DatasetVersion(source=source, version=commit)


def _local(path: Path) -> Iterable[DataFile]:
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            status = file.stat()
            yield DataFile(name=str(file.relative_to(path.parent)), size=status.st_size, tag=str(status.st_mtime_ns))


def _stored(address: str) -> Iterable[DataFile]:
    import obstore
    from obstore.store import from_url

    for batch in obstore.list(from_url(address)):
        for each in batch:
            tag = each["e_tag"] or str(each["last_modified"])
            yield DataFile(name=each["path"], size=each["size"], tag=tag)
