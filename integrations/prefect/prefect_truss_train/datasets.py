"""From a new version of a dataset to an event, once per version.

    watch_dataset.serve(interval=300, parameters={"name": "reviews", "source": "s3://bucket/reviews"})
    train.serve(triggers=[on_new_dataset("reviews", parameters={"version": "{{ event.payload.version }}"})])

What was seen last is kept in a Prefect variable. A version is announced before it is kept, by an event whose id follows
from it: killed in between, the watcher announces it again, and Prefect takes that for the same event.
"""

from __future__ import annotations

import asyncio
import re

from prefect import flow
from prefect.variables import Variable

from prefect_truss_train.events import send
from truss_train_core import datasets


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
    version = (await asyncio.to_thread(datasets.look, source)).version
    variable = f"truss_train_dataset_{re.sub(r'[^a-z0-9]+', '_', name.lower())}"
    if await Variable.aget(variable) != version:
        payload = {"name": name, "source": source, "version": version}
        labels = {"prefect.resource.name": name}
        await send("dataset.changed", f"dataset.{name}", payload, once=version, labels=labels)
        await Variable.aset(variable, version, overwrite=True)
    return version
