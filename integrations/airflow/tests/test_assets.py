"""The watchers: each version is told of once, also over restarts, and watchers of one place look once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import AssetStateStoreAccessors
from airflow.triggers.shared_stream import SharedStreamManager
from dag_runs import QUICK

from airflow_provider_truss_train.assets import NewCheckpointTrigger, NewDatasetVersionTrigger, version_to_train
from truss_train_core import Client, push
from truss_train_core.testing import DatasetHub

DEADLINE = 60.0


class Kept:
    """What Airflow keeps for one asset."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str, default: Any) -> Any:
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value))


def store(*kept: Kept) -> AssetStateStoreAccessors:
    """Airflow's own store for as many assets, but kept here."""
    made = AssetStateStoreAccessors(inlets=[Asset(f"asset-{number}") for number in range(len(kept))])
    made._by_name = dict(zip(made._by_name, kept, strict=True))  # type: ignore[arg-type]
    return made


def told(trigger: Any, count: int, *kept: Kept) -> list[Any]:
    """The payloads of the first `count` events, once they are noted, and that nothing follows them."""
    trigger.asset_state_store = store(*kept)
    trigger.persisted_within = 0.0
    return asyncio.run(_collect(trigger.run(), count))


async def _collect(events: AsyncIterator[Any], count: int) -> list[Any]:
    async with aclosing(events) as stream:  # type: ignore[type-var]
        payloads = [(await asyncio.wait_for(anext(stream), DEADLINE)).payload for _ in range(count)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), 1.0)
    return payloads


def test_a_version_of_files_is_told_of_once_and_not_again_after_a_restart(tmp_path: Path) -> None:
    kept = Kept()
    (tmp_path / "a.csv").write_text("1,2")
    watch = {"source": tmp_path.as_uri(), "poll_interval": 0.1}
    (first,) = told(NewDatasetVersionTrigger(**watch), 1, kept)
    assert (first["source"], first["files"], first["size_bytes"]) == (tmp_path.as_uri(), 1, 3)
    assert told(NewDatasetVersionTrigger(**watch), 0, kept) == []
    (tmp_path / "b.csv").write_text("3")
    (second,) = told(NewDatasetVersionTrigger(**watch), 1, kept)
    assert second["files"] == 2
    assert second["version"] != first["version"]
    (tmp_path / "b.csv").unlink()
    assert told(NewDatasetVersionTrigger(**watch), 0, kept) == []  # the first version is back, and was told of


def test_a_watcher_of_two_assets_notes_a_version_with_both(tmp_path: Path) -> None:
    first, second = Kept(), Kept()
    (tmp_path / "a.csv").write_text("1,2")
    watch = {"source": tmp_path.as_uri(), "poll_interval": 0.1}
    assert len(told(NewDatasetVersionTrigger(**watch), 1, first, second)) == 1
    for kept in (first, second):
        assert told(NewDatasetVersionTrigger(**watch), 0, kept) == []


def test_a_triggerer_that_dies_before_the_event_is_stored_tells_of_it_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    kept = Kept()
    trigger = NewDatasetVersionTrigger(source=tmp_path.as_uri(), poll_interval=0.1)
    trigger.asset_state_store = store(kept)

    async def until_the_event() -> Any:
        async with aclosing(trigger.run()) as stream:  # type: ignore[type-var]
            return (await asyncio.wait_for(anext(stream), DEADLINE)).payload

    lost = asyncio.run(until_the_event())
    assert told(NewDatasetVersionTrigger(source=tmp_path.as_uri(), poll_interval=0.1), 1, kept) == [lost]


def test_of_versions_that_come_to_one_run_the_one_that_is_there_is_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path.as_uri()
    (tmp_path / "a.csv").write_text("1,2")
    first = version_to_train([], source)
    (tmp_path / "b.csv").write_text("3")
    second = version_to_train([], source)
    assert first["version"] != second["version"]
    with caplog.at_level("INFO"):
        assert version_to_train([told_of(first), told_of(second), told_of(first)], source) == second
    assert [first["version"] in line for line in caplog.messages if "is not trained on" in line] == [True]


def test_a_version_that_another_has_replaced_is_skipped(tmp_path: Path) -> None:
    source = tmp_path.as_uri()
    (tmp_path / "a.csv").write_text("1,2")
    first = version_to_train([], source)
    (tmp_path / "b.csv").write_text("3")
    with pytest.raises(AirflowSkipException, match="sets off its own"):
        version_to_train([told_of(first)], source)


def told_of(facts: dict[str, Any]) -> SimpleNamespace:
    """An asset event as a watcher makes it."""
    return SimpleNamespace(extra={"from_trigger": True, "payload": facts})


def test_a_dataset_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    trigger = NewDatasetVersionTrigger(source=(tmp_path / "later").as_uri(), poll_interval=0.1)
    assert told(trigger, 0, Kept()) == []


def test_a_commit_of_the_hub_is_told_of_once_through_outages(hub: DatasetHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HUB", json.dumps({"conn_type": "http", "host": hub.url, "password": "good"}))
    kept = Kept()
    watch = {"source": "hf://someone/reviews", "conn_id": "hub", "poll_interval": 0.1}
    hub.failures = 3
    (first,) = told(NewDatasetVersionTrigger(**watch), 1, kept)
    assert first == {"source": "hf://someone/reviews", "version": "commit-1"}
    assert hub.failures == 0
    hub.commits["someone/reviews"] = "commit-2"
    (second,) = told(NewDatasetVersionTrigger(**watch), 1, kept)
    assert second["version"] == "commit-2"
    assert told(NewDatasetVersionTrigger(**watch), 0, kept) == []
    assert "good" not in json.dumps([NewDatasetVersionTrigger(**watch).serialize(), kept.values])


def test_each_checkpoint_of_a_project_is_told_of_once(client: Client) -> None:
    push(QUICK, client.remote)
    kept = Kept()
    listed = told(NewCheckpointTrigger(project="quick", poll_interval=0.3), 5, kept)
    assert [each["name"] for each in listed] == [f"checkpoint-{step}" for step in range(1, 6)]
    assert told(NewCheckpointTrigger(project="quick", poll_interval=0.3), 0, kept) == []


def test_watchers_of_one_place_look_once_and_each_tells_what_it_wants(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(QUICK, client.remote)
    streams = Counter[str]()
    open_stream = NewCheckpointTrigger.open_shared_stream.__func__  # type: ignore[attr-defined]

    async def counted(cls: Any, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        streams[kwargs["project"]] += 1
        async for versions in open_stream(cls, kwargs):
            yield versions

    monkeypatch.setattr(NewCheckpointTrigger, "open_shared_stream", classmethod(counted))
    wanted = [0, 3, 5]

    async def together() -> list[list[Any]]:
        manager = SharedStreamManager(log=structlog.get_logger())
        events = []
        for number, step in enumerate(wanted):
            trigger = NewCheckpointTrigger(project="quick", step=step, poll_interval=0.3)
            trigger.persisted_within = 0.0
            stream = manager.subscribe(trigger_id=number, trigger=trigger, key=trigger.shared_stream_key())
            events.append(_collect(trigger.filter_shared_stream(stream), 6 - max(step, 1)))
        try:
            return await asyncio.gather(*events)
        finally:
            await manager.stop_all()

    collected = asyncio.run(together())
    assert [[each["step"] for each in payloads] for payloads in collected] == [[1, 2, 3, 4, 5], [3, 4, 5], [5]]
    assert streams == {"quick": 1}


def test_watchers_of_different_places_share_nothing() -> None:
    keys = {
        NewDatasetVersionTrigger(source=source, conn_id=conn_id).shared_stream_key()
        for source, conn_id in [("s3://b/a", None), ("s3://b/b", None), ("s3://b/a", "aws")]
    }
    assert len(keys) == 3


@pytest.fixture
def hub() -> Iterator[DatasetHub]:
    """A Hub with a dataset that is not public."""
    with DatasetHub.started() as served:
        served.commits, served.private = {"someone/reviews": "commit-1"}, {"someone/reviews"}
        yield served
