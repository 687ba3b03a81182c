from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from truss_train_core.local.pages import feeds
from truss_train_core.local.pages.feeds import Feeds


async def told(stream: AsyncIterator[bytes]) -> list[tuple[str, Any]]:
    """What the next piece of a stream says."""
    piece = (await anext(stream)).decode()
    events = [json.loads(line.removeprefix("data: ")) for line in piece.splitlines() if line.startswith("data: ")]
    return [(event["name"], event["value"]) for event in events]


async def opened(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    assert (await anext(stream)).startswith(b"retry: ")
    return stream


def test_all_who_follow_a_thing_share_one_look() -> None:
    looks = 0

    def look() -> dict[str, Any]:
        nonlocal looks
        looks += 1
        return {"count": looks}

    async def run() -> None:
        shared = Feeds()
        streams = [await opened(shared.follow("job", look, 0.01)) for _ in range(20)]
        seen = [dict(await told(stream))["count"] for _ in range(5) for stream in streams]
        assert len(set(seen)) <= looks < 20
        for stream in streams:
            await stream.aclose()
        after = looks
        await asyncio.sleep(0.1)
        assert looks <= after + 1  # nobody follows it any more

    asyncio.run(run())


def test_only_what_changed_is_told_and_who_comes_later_begins_with_all() -> None:
    now = {"status": "running", "lines": 0}

    async def run() -> None:
        shared = Feeds()
        first = await opened(shared.follow("job", lambda: dict(now), 0.01))
        assert await told(first) == [("status", "running"), ("lines", 0)]
        now["lines"] = 1
        assert await told(first) == [("lines", 1)]
        second = await opened(shared.follow("job", lambda: dict(now), 0.01))
        assert sorted(await told(second)) == [("lines", 1), ("status", "running")]

    asyncio.run(run())


def test_a_slow_reader_is_given_the_newest() -> None:
    values = iter(range(1000))

    async def run() -> None:
        stream = await opened(Feeds().follow("job", lambda: {"value": next(values)}, 0.001))
        ((_, first),) = await told(stream)
        while next(values) < first + 20:  # it reads nothing meanwhile
            await asyncio.sleep(0.001)
        ((_, second),) = await told(stream)
        assert second > first + 10

    asyncio.run(run())


def test_a_look_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    results: list[Any] = [OSError("the disk is away"), {"value": 1}]

    def look() -> dict[str, Any]:
        result = results.pop(0) if len(results) > 1 else results[0]
        if isinstance(result, Exception):
            raise result
        return dict(result)

    async def run() -> None:
        stream = await opened(Feeds().follow("job", look, 0.01))
        assert await told(stream) == [("value", 1)]

    asyncio.run(run())
    assert "the disk is away" in caplog.text


def test_a_silent_stream_says_that_it_is_there_and_ends_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_SILENCE", 0.05)

    async def run() -> None:
        shared = Feeds()
        stream = await opened(shared.follow("job", lambda: {}, 0.01))
        assert await anext(stream) == b": still here\n\n"
        shared.close()
        assert [piece async for piece in stream] in ([], [b": still here\n\n"])

    asyncio.run(run())
