"""The client that a command talks through. Each is made here, and from then on garbage is collected again."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from truss_train_core.api.async_client import AsyncClient
    from truss_train_core.api.client import Client

AT_ONCE = 10.0
"""Seconds for which a command that somebody waits for repeats a call before it gives up."""
PATIENTLY = 60.0
"""The same for a command that follows a job; what waits in it is more patient still."""


def connect(remote: str, *, deadline: float = AT_ONCE) -> Client:
    """A client for the remote of that name, which repeats a call for `deadline` seconds.

    Raises:
        RemoteError: the remote is not configured, or has no key.
    """
    from truss_train_core.api.client import Client
    from truss_train_core.api.retry import Retry

    client = Client(remote, retry=Retry(deadline=deadline))
    all_is_loaded()
    return client


def connect_async(remote: str, *, deadline: float = AT_ONCE) -> AsyncClient:
    """As `connect`, for a command that has an event loop."""
    from truss_train_core.api.async_client import AsyncClient
    from truss_train_core.api.retry import Retry

    client = AsyncClient(remote, retry=Retry(deadline=deadline))
    all_is_loaded()
    return client


def all_is_loaded() -> None:
    """Collect garbage from here on. What was imported until now is none, and to look through it takes a tenth of a
    short command; so a process that is a command begins without.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
