"""One look at a thing for all who follow it, told to each as server-sent events.

While at least one page follows it, a thing is looked at once per interval, in a thread. A look returns everything that
can change, by name; what differs from the look before is sent. Who comes later, or comes back, begins with all of the
latest look, and who reads slowly is given the newest rather than everything in between.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

Look = Callable[[], Mapping[str, Any]]
"""Reads what can change, as JSON values by name. It may block."""

_RETRY = b"retry: 1000\n\n"
_STILL_HERE = b": still here\n\n"
_SILENCE = 15.0
"""Seconds without news after which a word is sent, so that a connection that is gone is noticed."""


@dataclass
class _Feed:
    """What is followed.

    Attributes:
        latest: of each name the newest value, its frame, and the number of the look that brought it.
        looks: how often it was looked at.
        news: set, and replaced, whenever there is some.
    """

    latest: dict[str, tuple[int, bytes, Any]] = field(default_factory=dict)
    looks: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    followers: int = 0
    watching: asyncio.Task[None] | None = None


class Feeds:
    """Everything that some page follows at the moment."""

    def __init__(self) -> None:
        self._feeds: dict[Hashable, _Feed] = {}
        self._closed = False

    async def follow(self, key: Hashable, look: Look, interval: float) -> AsyncIterator[bytes]:
        """The events of the thing that `key` stands for, until the reader leaves or the server ends.

        Args:
            key: the same for the same thing; `look` and `interval` are those of the first who follows it.
            look: reads it.
            interval: seconds between two looks.
        """
        feed = self._feeds.setdefault(key, _Feed())
        feed.followers += 1
        if feed.watching is None:
            feed.watching = asyncio.create_task(_watch(feed, look, interval))
        try:
            yield _RETRY
            seen = 0
            while not self._closed:
                news = feed.news
                fresh = [frame for number, frame, _ in feed.latest.values() if number > seen]
                seen = feed.looks
                if fresh:
                    yield b"".join(fresh)
                try:
                    await asyncio.wait_for(news.wait(), _SILENCE)
                except asyncio.TimeoutError:
                    yield _STILL_HERE
        finally:
            feed.followers -= 1
            if not feed.followers:
                feed.watching.cancel()
                if self._feeds.get(key) is feed:
                    del self._feeds[key]

    def close(self) -> None:
        """End all streams, so that the server need not wait for their readers."""
        self._closed = True
        for feed in self._feeds.values():
            feed.news.set()


async def _watch(feed: _Feed, look: Look, interval: float) -> None:
    while True:
        try:
            found = await asyncio.to_thread(look)
        except Exception:
            logger.exception("a page cannot be brought up to date; it is tried again")
        else:
            _publish(feed, found)
        await asyncio.sleep(interval)


def _publish(feed: _Feed, found: Mapping[str, Any]) -> None:
    feed.looks += 1
    for name, value in found.items():
        _, frame, before = feed.latest.get(name, (0, b"", None))
        if value is before:  # what is remembered between looks is not even written out again
            continue
        fresh = b"data: " + json.dumps({"name": name, "value": value}, allow_nan=False).encode() + b"\n\n"
        if fresh != frame:
            feed.latest[name] = (feed.looks, fresh, value)
    if any(number == feed.looks for number, _, _ in feed.latest.values()):
        feed.news.set()
        feed.news = asyncio.Event()
