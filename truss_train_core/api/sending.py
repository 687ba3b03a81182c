"""What both clients share: where to send, and how a `Request` is put into HTTP. No I/O."""

from __future__ import annotations

import platform
import ssl
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx

from truss_train_core.api import answers
from truss_train_core.api.clock import Clock
from truss_train_core.api.flows import Event, Pause, Rest
from truss_train_core.api.request import Request
from truss_train_core.api.retry import Retry
from truss_train_core.api.sharing import Moments
from truss_train_core.errors import Unreachable
from truss_train_core.remotes import Remote, resolve_remote

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Seconds to wait for a connection and for each part of an answer, as the current client does (seen on the wire)."""


class Sender:
    """Where to send, and how."""

    def __init__(
        self, remote: Remote | str, *, retry: Retry | None = None, share: float = 0.0, clock: Clock | None = None
    ) -> None:
        self.remote = resolve_remote(remote) if isinstance(remote, str) else remote
        self._retry = retry or Retry()
        self._share = share
        self._clock = clock or Clock()
        self._moments = Moments()

    def _length(self, pause: Pause) -> float:
        if self._share and isinstance(pause, Rest):
            return self._moments.until_next(self._clock.now(), pause.interval)
        return pause.seconds

    def _arguments(self, request: Request[Any]) -> dict[str, Any]:
        body = request.body
        if body is not None and request.local_extension and self.remote.is_local:
            body = {**body, **request.local_extension}
        key = {} if request.to == "url" else {"Authorization": self.remote.authorization}
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": self._url(request),
            "params": {name: value for name, value in request.query.items() if value is not None} or None,
            "headers": {**request.headers, **key},
        }
        if body is not None:
            arguments["json"] = body
        if request.timeout is not None:
            arguments["timeout"] = httpx.Timeout(request.timeout, connect=10.0)
        return arguments

    def _http_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"timeout": TIMEOUT, "headers": {"User-Agent": _user_agent()}}
        if self.remote.is_local:
            # Proxies of the environment are for the world outside: none of them can reach a platform on this machine.
            settings["trust_env"] = False
            if self.remote.api_url.startswith("http:"):  # and to read whom to trust takes longer than most commands
                settings["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
        return settings

    def _url(self, request: Request[Any]) -> str:
        if request.to == "url":
            return request.path
        if request.to == "graphql":
            return self.remote.graphql_url
        if request.to == "model":
            return self.remote.model_url(request.path)
        return self.remote.api_url + request.path

    def _silence(self, request: Request[Any], error: Exception) -> Exception:
        host = httpx.URL(self._url(request)).netloc.decode()
        if isinstance(error, httpx.TransportError):
            return answers.silence(request, error, host)
        return Unreachable(f"{request.about}: {host} cannot be called: {error}.")


def _user_agent() -> str:
    try:
        release = version("truss-train-core")
    except PackageNotFoundError:
        release = "source"
    return f"truss-train/{release} (Python/{platform.python_version()}; {platform.system()})"


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""
