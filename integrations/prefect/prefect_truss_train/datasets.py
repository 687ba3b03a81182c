"""From a new version of a dataset to a flow run, once per version.

    watch_dataset.serve(
        interval=300,
        parameters={"name": "reviews", "source": "s3://bucket/reviews", "deployment": "fine-tune/reviews"},
    )

A version is announced by an event, whose id follows from it, and the flow run that trains on it is created under an
idempotency key that follows from it; then it is kept in a Prefect variable as the last that was seen. A watcher that is
killed in between does both again: Prefect takes the flow run for the same for ever, the event for half an hour.
"""

from __future__ import annotations

import asyncio
import re

from prefect import flow, get_run_logger
from prefect.deployments import arun_deployment
from prefect.variables import Variable

from prefect_truss_train.events import send
from truss_train_core import datasets

SETTLE = 5.0
"""Seconds for which files have to stay as they are before they are a version."""


@flow(name="watch-dataset")
async def watch_dataset(name: str, source: str, deployment: str | None = None, settle: float = SETTLE) -> str:
    """Look at a dataset once, and announce its version if that is new. Serve it with an interval.

    Args:
        name: what triggers call it, see `on_new_dataset`.
        source: a directory or file, an address of an object store's prefix ("s3://bucket/prefix", "gs://…", "az://…"),
            or a dataset of the Hugging Face Hub ("hf://organization/dataset", "…@revision").
        deployment: "flow/deployment", of which each version has exactly one run, with the parameters `source` and
            `version`; None for none.
        settle: seconds between two looks; files that differ are being written, and are left to the next run.

    Returns:
        The version: a commit of the Hub, or a fingerprint of names, sizes and tags.
    """
    version = (await asyncio.to_thread(datasets.look, source)).version
    variable = f"truss_train_dataset_{re.sub(r'[^a-z0-9]+', '_', name.lower())}"
    if await Variable.aget(variable) == version:
        return version
    await asyncio.sleep(settle)
    if (await asyncio.to_thread(datasets.look, source)).version != version:
        get_run_logger().info("%s is being written to, and is looked at again next time.", source)
        return version
    payload = {"name": name, "source": source, "version": version}
    labels = {"prefect.resource.name": name}
    await send("dataset.changed", f"dataset.{name}", payload, once=version, labels=labels)
    if deployment:
        once, parameters = f"{name}:{version}", {"source": source, "version": version}
        await arun_deployment(deployment, parameters=parameters, timeout=0, as_subflow=False, idempotency_key=once)
    await Variable.aset(variable, version, overwrite=True)
    return version
