"""What a browser may bring here: calls of the platform's own pages, and links that somebody follows.

Any page that somebody visits can have their browser send requests to this machine. Two rules, for every address of the
platform, keep that from being of use:

Host: the platform answers to its own names only. A site can point a name of its own at 127.0.0.1 (DNS rebinding), and
would then be of one origin with the platform to the browser; but the name still stands in the request.

Origin and Sec-Fetch-Site, which browsers add and pages cannot change: a request that another origin caused is refused,
unless it loads a page as a whole, whose content that origin does not see.

Programs that are no browsers send neither, and need the key all the same.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_SEEN_BY_NOBODY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Of a refusal: the site that asked cannot even show it, or tell that it came."""


class SameOriginOnly:
    """Middleware that answers 403 to what another site asks for.

    Args:
        app: what answers the rest.
        names: further host names that the platform answers to, and to all names below them. IP addresses, `localhost`,
            `*.localhost` and this machine's name are always its own.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = ("localhost", socket.gethostname().lower(), *(name.lower() for name in names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope["method"], Headers(scope=scope))):
            await JSONResponse({"message": refusal}, status_code=403, headers=_SEEN_BY_NOBODY)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = _host_name(headers.get("host", ""))
        if not self._is_own(host):
            return (
                f"The local platform does not answer to the name {host!r}, which somebody may have pointed at this "
                f"machine. If it is a name of yours, serve with --allowed-host {host or 'NAME'}."
            )
        if _is_of_another_origin(headers) and not _loads_a_page(method, headers):
            return "The local platform takes no requests from the pages of other sites."
        return None

    def _is_own(self, host: str) -> bool:
        return _is_address(host) or any(host == name or host.endswith(f".{name}") for name in self._names)


@lru_cache(maxsize=64)
def _host_name(host: str) -> str:
    """What a Host header names, without the port; empty where it makes no sense."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


@lru_cache(maxsize=64)
def _is_address(host: str) -> bool:
    """An address is nobody's name: a browser that shows it has connected to it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_of_another_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    is_other = origin is not None and origin.partition("://")[2] != headers.get("host")
    return is_other or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _loads_a_page(method: str, headers: Headers) -> bool:
    """Whether a tab as a whole goes to the address, as when a link is followed; no frame, image or script."""
    return method in ("GET", "HEAD") and headers.get("sec-fetch-dest") == "document"
