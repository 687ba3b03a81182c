"""Asset watchers: a new version of a dataset, or a new checkpoint, becomes an asset event, once.

    data = Asset("digits", watchers=[AssetWatcher(name="files", trigger=NewDatasetVersionTrigger(source="s3://b/d"))])
    with DAG("retrain", schedule=[data]): ...

The event's extra holds the facts under `payload`. Airflow makes one DAG run of all events that arrive before it begins
one, and a dataset may change again until it is read: `version_to_train` says which version a run is for.

Watchers of one place share one look per interval, through Airflow's shared streams: the stream hands out everything
that there is, again and again, and each watcher picks what it has not told of yet. That it keeps in the state of its
assets, so a triggerer that is restarted tells of nothing again.
"""

from __future__ import annotations

import abc
import asyncio
import hashlib
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowSkipException
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_truss_train.facts import checkpoint_facts
from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, BasetenHook

if TYPE_CHECKING:
    from truss_train_core.datasets import DataFile, DatasetVersion

KEPT = 200
"""How many versions are remembered beside those that are there."""
PERSISTED_WITHIN = 3.0
"""Seconds after which Airflow has stored an event that was fired. A version is noted as told only then: a triggerer
that is killed in between tells of it twice rather than never."""

log = logging.getLogger(__name__)
Versions = dict[str, dict[str, Any]]
"""What there is: the facts of each version, the earliest first."""
Look = Callable[[], Awaitable[Versions]]


class _Watcher(BaseEventTrigger):
    """Tells of each version once.

    Args:
        place: what makes up the place that is looked at; watchers for which it is equal share the looks.
        own: what else tells this watcher from others.
    """

    persisted_within = PERSISTED_WITHIN

    def __init__(self, *, place: Mapping[str, Any], **own: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place = dict(place)
        self.own = own

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return _path(type(self)), {**self.place, **self.own}

    def shared_stream_key(self) -> Hashable:
        return (_path(type(self)), *sorted(self.place.items(), key=lambda item: item[0]))

    @classmethod
    @abc.abstractmethod
    def looking(cls, kwargs: Mapping[str, Any]) -> AbstractAsyncContextManager[Look]:
        """Get hold of what is needed to look at the place, for as long as somebody watches it."""

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Versions]:
        interval = kwargs["poll_interval"]
        while True:
            try:
                async with cls.looking(kwargs) as look:
                    while True:
                        yield await look()
                        await _pause(interval)
            except Exception as error:  # a watcher that fails is gone for good, and storages raise what they like
                log.warning("Not seen this time, looked at again in about %.0f s: %s", interval, error)
            await _pause(interval)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        told = await self._told()
        async for versions in shared_stream:
            new = [version for version in versions if version not in told and self.wants(versions[version])]
            for version in new:
                yield TriggerEvent(versions[version])  # type: ignore[no-untyped-call]
            if new:
                gone = [version for version in told if version not in versions]
                told = [*gone[-KEPT:], *(each for each in told if each in versions), *new]
                await asyncio.sleep(self.persisted_within)
                for state in self._states():
                    await state.aset(self._state_key(), told)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async for event in self.filter_shared_stream(self.open_shared_stream(self.serialize()[1])):
            yield event

    def wants(self, facts: Mapping[str, Any]) -> bool:
        """Whether this watcher tells of a version."""
        return True

    async def _told(self) -> list[str]:
        """What was told of, to any of the assets: Airflow runs one trigger for all whose watchers are equal."""
        kept = [await state.aget(self._state_key(), []) for state in self._states()]
        return list(dict.fromkeys(version for versions in kept for version in versions))

    def _states(self) -> list[Any]:
        """What Airflow keeps for each asset that is watched; none outside a triggerer.

        A trigger is not told which assets these are, and the store answers by asset only: hence its private list.
        """
        return list(self.asset_state_store._by_name.values()) if self.asset_state_store else []

    def _state_key(self) -> str:
        """An asset may have several watchers, so each has a key of its own."""
        told_apart = json.dumps([*self.serialize()], sort_keys=True)
        return f"truss_train_told_{hashlib.sha256(told_apart.encode()).hexdigest()[:12]}"


class NewDatasetVersionTrigger(_Watcher):
    """Fires when a dataset has a new version: another commit on the Hugging Face Hub, or other files elsewhere.

    Files have to stay as they are from one look to the next before they are a version, so that one is not told of
    while it is being written. The facts: `source`, `version`, and for files `files` and `size_bytes`.

    Args:
        source: a directory, for Airflow's `ObjectStoragePath` (s3://…, gs://…, file:///…); or a dataset of the Hub,
            "hf://organization/dataset", or with "@revision".
        conn_id: connection for that storage, or None. For the Hub, its `host` is the Hub's address (by default
            https://huggingface.co) and its `password` the token.
        poll_interval: seconds between two looks.
    """

    def __init__(self, *, source: str, conn_id: str | None = None, poll_interval: float = 60.0) -> None:
        super().__init__(place={"source": source, "conn_id": conn_id, "poll_interval": poll_interval})

    @classmethod
    @asynccontextmanager
    async def looking(cls, kwargs: Mapping[str, Any]) -> AsyncIterator[Look]:
        from truss_train_core.datasets import HUGGING_FACE
        from truss_train_core.errors import DatasetNotFound

        source, conn_id = kwargs["source"], kwargs["conn_id"]
        is_on_hub = source.startswith(HUGGING_FACE)
        find = sync_to_async(_look, thread_sensitive=False)
        before: str | None = None

        async def look() -> Versions:
            nonlocal before
            try:
                found = await find(source, conn_id)
            except DatasetNotFound as error:
                log.info("%s It is waited for.", error)
                return {}
            settled, before = is_on_hub or found.version == before, found.version
            return {found.version: found.model_dump(exclude_none=True)} if settled else {}

        yield look


class NewCheckpointTrigger(_Watcher):
    """Fires for each complete checkpoint of the newest job of a project.

    The facts: `project`, `job_id`, `name`, `step` and `size_bytes`.

    Args:
        project: its id or name.
        step: checkpoints of earlier training steps are left out.
        baseten_conn_id: id of the connection.
        poll_interval: seconds between two looks.
    """

    def __init__(
        self,
        *,
        project: str,
        step: int = 0,
        baseten_conn_id: str = DEFAULT_CONNECTION,
        poll_interval: float = 30.0,
    ) -> None:
        place = {"project": project, "baseten_conn_id": baseten_conn_id, "poll_interval": poll_interval}
        super().__init__(place=place, step=step)
        self.step = step

    def wants(self, facts: Mapping[str, Any]) -> bool:
        return (facts["step"] or 0) >= self.step

    @classmethod
    @asynccontextmanager
    async def looking(cls, kwargs: Mapping[str, Any]) -> AsyncIterator[Look]:
        from truss_train_core import checkpoints, jobs
        from truss_train_core.errors import JobNotFound

        project = kwargs["project"]
        async with BasetenHook(kwargs["baseten_conn_id"]).async_client() as client:

            async def look() -> Versions:
                try:
                    job = await client.run(jobs.find(project=project))
                except JobNotFound as error:
                    log.info("%s It is waited for.", error)
                    return {}
                listed = await client.run(checkpoints.list_checkpoints(job))
                return {
                    f"{job.id}/{each.checkpoint_id}": {"project": project, **checkpoint_facts(each)}
                    for each in listed
                    if each.sync_status == "COMPLETE"
                }

            yield look


def version_to_train(events: Iterable[Any], source: str, *, conn_id: str | None = None) -> dict[str, Any]:
    """The version of a dataset that a DAG run is for, as facts: the one that is there, if an event told of it.

    The log names the versions that are passed over. A run that a person has started, without events, is for the version
    that is there.

    Args:
        events: those of the dataset's asset that set the run off: `triggering_asset_events[asset]`.
        source: as for `NewDatasetVersionTrigger`.
        conn_id: as there.

    Raises:
        AirflowSkipException: the dataset has changed since; the change sets off a run of its own.
        DatasetNotFound: there is nothing there any more.
    """
    there = _look(source, conn_id)
    told = [event.extra["payload"]["version"] for event in events]
    for version in dict.fromkeys(told):
        if version != there.version:
            log.info("Version %s of %s is not trained on: version %s is there now.", version, source, there.version)
    if told and there.version not in told:
        raise AirflowSkipException(f"{source} has changed since it set off this run; the change sets off its own.")
    return there.model_dump(exclude_none=True)


def _look(source: str, conn_id: str | None) -> DatasetVersion:
    """The version that is there. Blocking."""
    from truss_train_core.datasets import HUGGING_FACE

    return _on_hub(source, conn_id) if source.startswith(HUGGING_FACE) else _stored(source, conn_id)


def _stored(source: str, conn_id: str | None) -> DatasetVersion:
    """The version of a dataset in a storage that Airflow knows. Blocking."""
    from airflow.sdk import ObjectStoragePath

    from truss_train_core import datasets

    root = ObjectStoragePath(source, conn_id=conn_id)
    root.fs.invalidate_cache()  # file systems remember their listings
    try:
        listing = root.fs.find(root.path, detail=True)
    except FileNotFoundError:
        listing = {}
    return datasets.fingerprint(source, _files(listing, root.path))


def _files(listing: Mapping[str, Mapping[str, Any]], root: str) -> Iterator[DataFile]:
    from truss_train_core.datasets import DataFile

    for path, facts in listing.items():
        tags = (
            facts.get(key) for key in ("etag", "ETag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")
        )
        tag = next((str(tag) for tag in tags if tag), str(facts.get("created", "")))
        yield DataFile(name=path.removeprefix(root).lstrip("/"), size=facts["size"] or 0, tag=tag)


def _on_hub(source: str, conn_id: str | None) -> DatasetVersion:
    """The version of a dataset on the Hub. Blocking."""
    from truss_train_core import datasets

    if conn_id is None:
        return datasets.look(source)
    connection = BaseHook.get_connection(conn_id)
    host = connection.host or datasets.HUB
    endpoint = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    if connection.port:
        endpoint = f"{endpoint}:{connection.port}"
    return datasets.look_at_hub(source, endpoint=endpoint, token=connection.password)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds * random.uniform(0.85, 1.15))  # noqa: S311 (spread, not secrecy)
