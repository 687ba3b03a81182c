"""From a new version of a dataset to an event, once per version.

    watch_dataset.serve(interval=300, parameters={"name": "reviews", "source": "s3://bucket/reviews"})
    train.serve(triggers=[on_new_dataset("reviews", parameters={"version": "{{ event.payload.version }}"})])

What was seen last is kept in a Prefect variable. A version is announced before it is kept, by an event whose id follows
from it: killed in between, the watcher announces it again, and Prefect takes that for the same event.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.variables import Variable

from prefect_truss_train.events import send

HUGGING_FACE = "hf://"


@flow(name="watch-dataset")
async def watch_dataset(name: str, source: str) -> str:
    """Look at a dataset once, and announce its version if that is new. Serve it with an interval.

    Args:
        name: what triggers call it, see `on_new_dataset`.
        source: a directory or file, an address of an object store's prefix ("s3://bucket/prefix", "gs://…", "az://…"),
            or a dataset of the Hugging Face Hub ("hf://organization/dataset", "…@revision").

    Returns:
        The version: a commit of the Hub, or a fingerprint of names, sizes and tags.
    """
    version = await asyncio.to_thread(dataset_version, source)
    variable = f"truss_train_dataset_{re.sub(r'[^a-z0-9]+', '_', name.lower())}"
    if await Variable.aget(variable) != version:
        payload = {"name": name, "source": source, "version": version}
        labels = {"prefect.resource.name": name}
        await send("dataset.changed", f"dataset.{name}", payload, once=version, labels=labels)
        await Variable.aset(variable, version, overwrite=True)
    return version


def dataset_version(source: str) -> str:
    """The version of a dataset as it is now; see `watch_dataset`.

    Raises:
        FileNotFoundError: there is nothing there.
    """
    kind: Callable[[str], str] = _directory
    if source.startswith(HUGGING_FACE):
        kind = _hub
    elif "://" in source:
        kind = _object_store
    return kind(source)


def _directory(source: str) -> str:
    path = Path(source)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    described = []
    for file in files:
        status = file.stat()
        described.append((str(file.relative_to(path.parent)), status.st_size, status.st_mtime_ns))
    return _fingerprint(described, source)


def _object_store(source: str) -> str:
    import obstore
    from obstore.store import from_url

    listed = (each for batch in obstore.list(from_url(source)) for each in batch)
    described = sorted((each["path"], each["size"], each["e_tag"] or str(each["last_modified"])) for each in listed)
    return _fingerprint(described, source)


def _hub(source: str) -> str:
    import httpx

    dataset, _, revision = source.removeprefix(HUGGING_FACE).removeprefix("datasets/").partition("@")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    token = os.environ.get("HF_TOKEN")
    answer = httpx.get(
        f"{endpoint}/api/datasets/{dataset}/revision/{revision or 'main'}",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        follow_redirects=True,
        timeout=60,
    )
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise FileNotFoundError(f"There is no dataset {source}, or not one that HF_TOKEN may read.")
    commit: str = answer.raise_for_status().json()["sha"]
    return commit


def _fingerprint(described: Iterable[tuple[Any, ...]], source: str) -> str:
    listed = list(described)
    if not listed:
        raise FileNotFoundError(f"There is no file at {source}.")
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]
