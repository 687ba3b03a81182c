"""From an Airflow connection to a client of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from truss_train_core import AsyncClient, Client, Remote

DEFAULT_CONNECTION = "baseten_default"

PORTS = {"https": 443, "http": 80}
"""Ports that addresses leave out."""

SHARED_SECONDS = 2.0
"""How long the answer to "which jobs are active?" serves all triggers of an event loop that ask the same account."""


class BasetenHook(BaseHook):
    """Baseten's management API through a connection of type `baseten`.

    The connection: `password` is the API key, `host` the address (by default Baseten's own), `team` in extra the name
    of the team that owns what is created. Without a key, `remote` in extra, or `host`, names a section of .trussrc
    where the task runs.

    Args:
        baseten_conn_id: id of the connection.
    """

    conn_name_attr = "baseten_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "baseten"
    hook_name = "Baseten"

    def __init__(self, baseten_conn_id: str = DEFAULT_CONNECTION) -> None:
        super().__init__()
        self.baseten_conn_id = baseten_conn_id

    @cached_property
    def remote(self) -> Remote:
        """Where the connection leads, and the key.

        Raises:
            RemoteError: the connection's address cannot be used, or there is no key.
        """
        return remote_of(self.get_connection(self.baseten_conn_id))

    def client(self) -> Client:
        """A client that blocks; close it, or use it as a context manager."""
        from truss_train_core import Client

        return Client(self.remote)

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[AsyncClient]:
        """The client of this account on this event loop, one for all who are inside at the same time.

        So that all triggers of a triggerer share its connections, and one poll.
        """
        remote = remote_of(await self.aget_connection(self.baseten_conn_id))
        async with _shared_client(remote) as client:
            yield client

    def test_connection(self) -> tuple[bool, str]:
        """What the test button of the connection form shows: whether the API accepts the key."""
        from truss_train_core import jobs
        from truss_train_core.errors import JobNotFound, TrussTrainError

        try:
            with self.client() as client:
                client.run(jobs.find())
        except JobNotFound:
            pass
        except TrussTrainError as error:
            return False, str(error)
        return True, f"{self.remote.api_url} accepts the key."


def remote_of(connection: Connection) -> Remote:
    """The remote that a connection describes.

    Raises:
        RemoteError: its address cannot be used, or there is no key.
    """
    from truss_train_core import Remote, resolve_remote

    extra: dict[str, Any] = connection.extra_dejson
    if not connection.password:
        return resolve_remote(extra.get("remote") or connection.host or "baseten")
    address = connection.host or "https://app.baseten.co"
    if "://" not in address:
        address = f"https://{address}"
    if connection.port and connection.port != PORTS.get(address.partition("://")[0]):
        address = f"{address.rstrip('/')}:{connection.port}"
    return Remote.at(address, connection.password, name=connection.conn_id, team=extra.get("team") or None)


# ---------------------------------------------------------------- one client for each account and event loop


class _Lent:
    """A client and how many use it."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.users = 0


_lent: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Remote, _Lent]] = WeakKeyDictionary()


@asynccontextmanager
async def _shared_client(remote: Remote) -> AsyncIterator[AsyncClient]:
    from truss_train_core import AsyncClient

    of_loop = _lent.setdefault(asyncio.get_running_loop(), {})
    lent = of_loop.get(remote)
    if lent is None:
        lent = of_loop[remote] = _Lent(AsyncClient(remote, share=SHARED_SECONDS))
    lent.users += 1
    try:
        yield lent.client
    finally:
        lent.users -= 1
        if not lent.users:
            of_loop.pop(remote, None)
            await lent.client.aclose()
