"""The addresses at which deployed models answer, passed on to the processes that serve them.

    /model-<id>/deployment/<deployment id>/…      and the same paths without the prefix
    /model-<id>/environments/<name>/…             on hosts that begin with model-<id>.
    /model-<id>/production/…
        predict                what the server calls its prediction
        sync/<path>            a path of the server's own

Bodies stream in both directions. The caller's key stays here. A deployment that was scaled to zero is woken first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from truss_train_core.api.models import DeploymentStatus
from truss_train_core.local.server.database import Deployment
from truss_train_core.local.server.deployments import PRODUCTION, activate, deployment_in, find_deployment
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import Problem
from truss_train_core.local.server.truss_configs import Server

_PATH = re.compile(
    r"/model-(?P<model>[^/]+)/"
    r"(?:deployment/(?P<deployment>[^/]+)|environments/(?P<environment>[^/]+)|production)/"
    r"(?:(?P<predict>predict)|sync/(?P<path>.*))"
)
_WAKING = 60.0
"""Seconds that a request waits for a deployment that was scaled to zero."""
_LOOK_AGAIN = 0.2
_OF_THE_CONNECTION = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", "authorization",
}  # fmt: skip
TIMEOUT = httpx.Timeout(600.0, connect=5.0)


class ModelHosts:
    """Gives requests to a host `model-<id>.…` the path that says the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            if match := re.match(r"(model-[A-Za-z0-9]+)\.", host):
                scope = {**scope, "path": f"/{match[1]}{scope['path']}", "raw_path": None}
        await self._app(scope, receive, send)


async def serve(request: Request) -> Response:
    """Pass a request on to the process that serves the model.

    Raises:
        Problem: 404, 503: there is no such deployment, or it does not serve.
    """
    match = _PATH.fullmatch(request.scope["path"])
    if match is None:
        raise Problem(501, "The local platform serves …/predict and …/sync/… of a model, and nothing else.")
    platform: Platform = request.app.state.platform
    deployment = await _awake(platform, match)
    server = Server.model_validate(deployment.server)
    state = await run_in_threadpool(platform.serving.status, platform.data.deployment(deployment.id))
    path = server.predict_path if match["predict"] else f"/{match['path']}"
    client: httpx.AsyncClient = request.app.state.http
    outgoing = client.build_request(
        request.method,
        httpx.URL(f"http://127.0.0.1:{state.port}{quote(path, safe='/:')}", query=request.url.query.encode() or None),
        headers=[(name, value) for name, value in request.headers.items() if name not in _OF_THE_CONNECTION],
        content=request.stream() if _has_body(request) else None,
    )
    try:
        answer = await client.send(outgoing, stream=True)
    except httpx.TransportError as error:
        raise Problem(
            502, f"The server of deployment {deployment.id} did not answer: {error or type(error)}."
        ) from None
    return StreamingResponse(
        _body(answer),
        status_code=answer.status_code,
        headers={name: value for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION},
    )


async def _awake(platform: Platform, match: re.Match[str]) -> Deployment:
    deadline = asyncio.get_running_loop().time() + _WAKING
    while True:
        deployment = await run_in_threadpool(_find, platform, match)
        if deployment.status == DeploymentStatus.ACTIVE:
            return deployment
        if deployment.status == DeploymentStatus.SCALED_TO_ZERO:
            await run_in_threadpool(_wake, platform, match)
        elif deployment.status != DeploymentStatus.WAKING_UP or asyncio.get_running_loop().time() > deadline:
            raise Problem(503, f"Deployment {deployment.id} is {deployment.status} and does not answer.")
        await asyncio.sleep(_LOOK_AGAIN)


def _find(platform: Platform, match: re.Match[str]) -> Deployment:
    with platform.database.reading() as session:
        return _named(session, match)


def _wake(platform: Platform, match: re.Match[str]) -> None:
    with platform.lifecycle, platform.database.writing() as session:
        activate(_named(session, match))


def _named(session: Session, match: re.Match[str]) -> Deployment:
    if match["deployment"]:
        return find_deployment(session, match["model"], match["deployment"])
    return deployment_in(session, match["model"], match["environment"] or PRODUCTION)


def _has_body(request: Request) -> bool:
    return "content-length" in request.headers or "transfer-encoding" in request.headers


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
