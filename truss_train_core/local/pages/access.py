"""Who may look at the pages, and what a page of theirs may do.

A link with a token that works once signs a browser in. From then on a cookie stands for it: signed by the platform, so
that it outlives a restart of the server, and neither sent along by other sites (SameSite) nor readable by scripts.

A cookie is shared by all ports of a host, so that another server on this machine is the same site. What its pages ask
for is refused before it comes here (`server.same_origin`); whatever changes something asks for a token besides, which
is derived from the cookie and stands in our own pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from truss_train_core.local.pages.rendering import html
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import Problem

Endpoint = Callable[[Request], Awaitable[Response]]

LINK_LIFETIME = 24 * 3600.0
"""Seconds in which a sign-in link has to be used."""
SESSION_LIFETIME = 90 * 24 * 3600.0
"""Seconds for which a browser stays signed in."""
TOKEN_HEADER = "x-page-token"  # noqa: S105 - a name

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: nothing from elsewhere, nothing inline, in no frame, and not to be read by other origins."""


class Access:
    """Sign-in links, sessions, and the tokens of pages."""

    def __init__(self, platform: Platform) -> None:
        self._key = hmac.digest(platform.data.presign_key(), b"sessions of pages", "sha256")
        self._now = platform.now
        self._links: dict[str, float] = {}

    def link(self, url: str) -> str:
        """A link that signs one browser in, once. `url` is the platform's address."""
        token = secrets.token_urlsafe(24)
        self._links[token] = self._now() + LINK_LIFETIME
        return f"{url}/sign-in?token={token}"

    def session(self, token: str) -> str | None:
        """A new session for who has a link's token; None where the token was used, is too old, or is none."""
        until = self._links.pop(token, 0.0)
        if self._now() >= until:
            return None
        session = f"{int(self._now() + SESSION_LIFETIME)}.{secrets.token_urlsafe(12)}"
        return f"{session}.{self._sign('session', session)}"

    def knows(self, session: str) -> bool:
        """Whether this is a session that was begun here and has not ended."""
        said, _, signature = session.rpartition(".")
        until = said.partition(".")[0]
        genuine = hmac.compare_digest(self._sign("session", said).encode(), signature.encode())
        return genuine and self._now() < int(until)

    def page_token(self, session: str) -> str:
        """What a page of this session sends along to change something."""
        return self._sign("page", session)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()


def cookie_name(request: Request) -> str:
    """Another for each port, so that two platforms on one machine do not sign each other out."""
    return f"truss-train-{request.url.port or 80}"


def session_of(request: Request) -> str:
    return request.cookies.get(cookie_name(request), "")


# ---------------------------------------------------------------- the three kinds of endpoints


def public(endpoint: Endpoint) -> Endpoint:
    """For everyone."""

    async def guarded(request: Request) -> Response:
        return _with_headers(await endpoint(request))

    return guarded


def page(endpoint: Endpoint) -> Endpoint:
    """HTML for who is signed in; for others, how to be."""

    async def guarded(request: Request) -> Response:
        if not _is_signed_in(request):
            return sign_in_page(request)
        try:
            return await endpoint(request)
        except Problem as problem:
            return html(request, "problem.html", status=problem.status, message=problem.message)

    return public(guarded)


def data(endpoint: Endpoint) -> Endpoint:
    """What a page asks for after it was loaded."""

    async def guarded(request: Request) -> Response:
        if not _is_signed_in(request):
            return _refused(401, "Sign in first.")
        try:
            return await endpoint(request)
        except Problem as problem:
            return _refused(problem.status, problem.message)

    return public(guarded)


def action(endpoint: Endpoint) -> Endpoint:
    """What changes something: only for a page of our own, of someone who is signed in."""

    async def guarded(request: Request) -> Response:
        if not _is_own_page(request):
            return _refused(403, "Only a page of this platform may do this. Reload it, and try again.")
        return await endpoint(request)

    return data(guarded)


def sign_in_page(request: Request) -> Response:
    """How to sign in.

    The cookie is not sent where a link on another site leads here, so that the page may only seem to be unknown: it
    then loads itself once more, and that counts as coming from here.
    """
    from_elsewhere = request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"
    return html(request, "sign_in.html", status=401, again=from_elsewhere)


def _is_signed_in(request: Request) -> bool:
    access: Access = request.app.state.pages.access
    return access.knows(session_of(request))


def _is_own_page(request: Request) -> bool:
    access: Access = request.app.state.pages.access
    expected = access.page_token(session_of(request))
    return hmac.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), expected.encode())


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status_code=status)


def _with_headers(answer: Response) -> Response:
    answer.headers.update(_HEADERS)
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer
