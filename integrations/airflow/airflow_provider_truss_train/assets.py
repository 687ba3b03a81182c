"""Asset watchers: a new version of a dataset, or a new checkpoint, becomes an asset event, once.

    data = Asset("digits-data", watchers=[AssetWatcher(name="files", trigger=NewDatasetVersionTrigger(url="s3://b/d"))])
    with DAG("retrain", schedule=[data]): ...

The event's extra holds the facts under `payload`, so that a DAG trains on exactly the version that set it off. What was
told of already is kept in Airflow's asset state: a triggerer that is restarted tells of nothing twice. Airflow runs
one trigger for all assets whose watchers are equal.
"""

from __future__ import annotations

import abc
import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_truss_train.facts import checkpoint_facts
from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, BasetenHook

if TYPE_CHECKING:
    from truss_train_core import AsyncClient

STATE_KEY = "truss_train_told"


class _Watcher(BaseEventTrigger):
    """Looks every so often, and tells of each version once.

    Args:
        poll_interval: seconds between two looks.
        arguments: what else tells this watcher from others.
    """

    def __init__(self, *, poll_interval: float, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_interval = poll_interval
        self.arguments = arguments

    def serialize(self) -> tuple[str, dict[str, Any]]:
        kind = type(self)
        return f"{kind.__module__}.{kind.__name__}", {"poll_interval": self.poll_interval, **self.arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async with AsyncExitStack() as stack:
            await self.begin(stack)
            store = self.asset_state_store
            told: Any = await store.aget(STATE_KEY, []) if store else []
            while True:
                versions = await self._look_or_warn()
                new = [version for version in versions if version not in told]
                for version in new:
                    yield TriggerEvent(versions[version])  # type: ignore[no-untyped-call]
                if new:
                    told = list(versions)
                    if store:
                        await store.aset(STATE_KEY, told)
                await asyncio.sleep(self.poll_interval * random.uniform(0.85, 1.15))  # noqa: S311 (spread, not secrecy)

    async def begin(self, stack: AsyncExitStack) -> None:
        """Get hold of what is needed for as long as the watcher runs."""

    @abc.abstractmethod
    async def look(self) -> dict[str, dict[str, Any]]:
        """The versions that there are, with the facts of each."""

    async def _look_or_warn(self) -> dict[str, dict[str, Any]]:
        from truss_train_core.errors import TrussTrainError

        try:
            return await self.look()
        except (TrussTrainError, OSError) as error:
            self.log.warning("Not seen this time: %s", error)
            return {}


class NewDatasetVersionTrigger(_Watcher):
    """Fires when the files below a path have changed, and then have stayed as they are for one interval.

    The facts: `url`, `version` (a digest of names, sizes and times of the files), `files` and `bytes`.

    Args:
        url: of a directory, for Airflow's `ObjectStoragePath`: file:///…, s3://…, gs://…
        conn_id: connection for that storage, or None.
        poll_interval: seconds between two looks.
    """

    def __init__(self, *, url: str, conn_id: str | None = None, poll_interval: float = 60.0) -> None:
        super().__init__(poll_interval=poll_interval, url=url, conn_id=conn_id)
        self._before = ""

    async def look(self) -> dict[str, dict[str, Any]]:
        facts = await asyncio.to_thread(dataset_facts, self.arguments["url"], self.arguments["conn_id"])
        settled = facts["version"] == self._before and facts["files"] > 0
        self._before = facts["version"]
        return {facts["version"]: facts} if settled else {}


class NewCheckpointTrigger(_Watcher):
    """Fires for each complete checkpoint of the newest job of a project.

    The facts: `project`, `job_id`, `name`, `step` and `size_bytes`.

    Args:
        project: its id or name.
        baseten_conn_id: id of the connection.
        poll_interval: seconds between two looks.
    """

    def __init__(self, *, project: str, baseten_conn_id: str = DEFAULT_CONNECTION, poll_interval: float = 30.0) -> None:
        super().__init__(poll_interval=poll_interval, project=project, baseten_conn_id=baseten_conn_id)
        self._client: AsyncClient | None = None

    async def begin(self, stack: AsyncExitStack) -> None:
        hook = BasetenHook(self.arguments["baseten_conn_id"])
        self._client = await stack.enter_async_context(hook.async_client())

    async def look(self) -> dict[str, dict[str, Any]]:
        from truss_train_core import checkpoints, jobs

        assert self._client
        project = self.arguments["project"]
        job = await self._client.run(jobs.find(project=project))
        listed = await self._client.run(checkpoints.list_checkpoints(job))
        return {
            f"{job.id}/{each.checkpoint_id}": {"project": project, **checkpoint_facts(each)}
            for each in listed
            if each.sync_status == "COMPLETE"
        }


def dataset_facts(url: str, conn_id: str | None) -> dict[str, Any]:
    """What there is below a path. Blocking.

    Raises:
        OSError: it cannot be listed.
    """
    from airflow.sdk import ObjectStoragePath

    root = ObjectStoragePath(url, conn_id=conn_id)
    digest, count, size = hashlib.sha256(), 0, 0
    for path, facts in sorted(root.fs.find(root.path, detail=True).items()):
        changed = facts.get("etag") or facts.get("ETag") or facts.get("mtime") or facts.get("updated") or ""
        digest.update(f"{path}\0{facts['size']}\0{changed}\n".encode())
        count, size = count + 1, size + facts["size"]
    return {"url": url, "version": digest.hexdigest()[:16], "files": count, "bytes": size}
