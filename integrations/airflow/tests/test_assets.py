"""The watchers: each version is told of once, also over restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from dag_runs import QUICK

from airflow_provider_truss_train.assets import NewCheckpointTrigger, NewDatasetVersionTrigger
from truss_train_core import Client, push

DEADLINE = 30.0


class AssetState:
    """As much of Airflow's asset state as is used."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str, default: Any) -> Any:
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = list(value)


def events(trigger: Any, count: int, state: AssetState) -> list[Any]:
    """The first `count` payloads, and that the last of them is noted."""
    trigger.asset_state_store = state

    async def collect() -> list[Any]:
        payloads: list[Any] = []
        stream = trigger.run()
        while len(payloads) < count:
            payloads.append((await asyncio.wait_for(anext(stream), DEADLINE)).payload)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), 1.0)  # nothing is told twice
        await stream.aclose()
        return payloads

    return asyncio.run(collect())


def test_a_version_of_a_dataset_is_told_of_once_and_not_again_after_a_restart(tmp_path: Path) -> None:
    state = AssetState()
    (tmp_path / "a.csv").write_text("1,2")
    watch = {"url": tmp_path.as_uri(), "poll_interval": 0.1}
    (first,) = events(NewDatasetVersionTrigger(**watch), 1, state)
    assert (first["files"], first["bytes"]) == (1, 3)
    assert events(NewDatasetVersionTrigger(**watch), 0, state) == []
    (tmp_path / "b.csv").write_text("3")
    (second,) = events(NewDatasetVersionTrigger(**watch), 1, state)
    assert second["files"] == 2
    assert second["version"] != first["version"]


def test_a_dataset_that_cannot_be_read_yet_is_waited_for(tmp_path: Path) -> None:
    trigger = NewDatasetVersionTrigger(url=(tmp_path / "later").as_uri(), poll_interval=0.1)
    assert events(trigger, 0, AssetState()) == []


def test_each_checkpoint_of_a_project_is_told_of_once(client: Client) -> None:
    push(QUICK, client.remote)
    state = AssetState()
    told = events(NewCheckpointTrigger(project="quick", poll_interval=0.3), 5, state)
    assert [each["name"] for each in told] == [f"checkpoint-{step}" for step in range(1, 6)]
    assert events(NewCheckpointTrigger(project="quick", poll_interval=0.3), 0, state) == []
