"""The key for Baseten, as a block."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from prefect.blocks.abstract import CredentialsBlock
from pydantic import Field, HttpUrl, SecretStr

if TYPE_CHECKING:
    from truss_train_core import AsyncClient, Client, Remote

SHARE = 3.0
"""Seconds for which one answer to "which jobs are active" serves all waits of this process."""


class BasetenCredentials(CredentialsBlock):
    """A server and the key for it, or the name of a remote that is set up where the flow runs.

    Without an `api_key` the remote is looked up where the flow runs: in `.trussrc` or the environment, as the truss CLI
    does. Tasks take the name under which the block was saved, so that a key is never an input of a task.
    """

    _block_type_name: ClassVar[str] = "Baseten Credentials"
    _block_type_slug: ClassVar[str] = "baseten-credentials"
    _logo_url: ClassVar[Any] = HttpUrl("https://github.com/basetenlabs.png?size=200")
    _documentation_url: ClassVar[Any] = HttpUrl("https://docs.baseten.co/training/overview")
    _description: ClassVar[str] = "A key for Baseten, to train and deploy models with."
    _code_example: ClassVar[str] = """\
```python
from prefect_truss_train import BasetenCredentials

BasetenCredentials(api_key="...").save("BLOCK_NAME")

credentials = BasetenCredentials.load("BLOCK_NAME")
with credentials.get_client() as client:
    ...
```"""

    api_key: SecretStr | None = Field(
        default=None, title="API key", description="A key of the workspace; without one, `remote` is looked up."
    )
    url: str = Field(
        default="https://app.baseten.co", title="URL", description="Address of the server that the key is for."
    )
    remote: str = Field(
        default="baseten", description="Name of a remote where the flow runs; used where there is no API key."
    )

    def get_remote(self) -> Remote:
        """The server and its key.

        Raises:
            RemoteError: there is no such remote, no key for it, or `url` is not one that a key may be sent to.
        """
        from truss_train_core import resolve_remote

        if self.api_key is None:
            return resolve_remote(self.remote)
        pair = {
            "BASETEN_TRUSS_AUTH_REMOTE_URL": self.url,
            "BASETEN_TRUSS_AUTH_API_KEY": self.api_key.get_secret_value(),
        }
        return resolve_remote(environ=pair).model_copy(update={"scheme": "Api-Key"})

    def get_client(self, *args: Any, **kwargs: Any) -> Client:
        """A blocking client of your own; takes what `truss_train_core.Client` takes."""
        from truss_train_core import Client

        return Client(self.get_remote(), *args, **kwargs)

    def get_async_client(self, *args: Any, **kwargs: Any) -> AsyncClient:
        """A client for the event loop that it is made on; takes what `truss_train_core.AsyncClient` takes."""
        from truss_train_core import AsyncClient

        return AsyncClient(self.get_remote(), *args, **kwargs)


def remote_of(credentials: str | None) -> Remote:
    """The remote of a saved `BasetenCredentials` block; without a name, the default remote where the flow runs."""
    from truss_train_core import resolve_remote

    if credentials is None:
        return resolve_remote()
    block: Any = BasetenCredentials.load(credentials, _sync=True)  # type: ignore[call-arg]
    remote: Remote = block.get_remote()
    return remote


@lru_cache(maxsize=32)
def client_for(remote: Remote) -> Client:
    """The one client of this process for a remote: all waits that use it share one poll. It heeds cancellation."""
    from prefect_truss_train.cancellation import AttentiveClock
    from truss_train_core import Client

    return Client(remote, share=SHARE, clock=AttentiveClock())
