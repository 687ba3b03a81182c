"""The platform as an ASGI application: which path is answered by what, who may ask, and what an error looks like."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route as HttpRoute

from truss_train_core.local import pages
from truss_train_core.local.server import deployments, graphql, housekeeping, lifecycle, predict, presign, s3
from truss_train_core.local.server.calls import Answer, Call, Handler
from truss_train_core.local.server.data_dir import NO_SPACE
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import Problem
from truss_train_core.local.server.routes import (
    account,
    blobs,
    capacity,
    environments,
    jobs,
    local,
    models,
    observations,
    projects,
    queue,
    secrets,
    sessions,
)
from truss_train_core.local.server.same_origin import SameOriginOnly

logger = logging.getLogger(__name__)

ROUTES = (
    *projects.ROUTES,
    *jobs.ROUTES,
    *observations.ROUTES,
    *sessions.ROUTES,
    *capacity.ROUTES,
    *queue.ROUTES,
    *blobs.ROUTES,
    *models.ROUTES,
    *environments.ROUTES,
    *secrets.ROUTES,
    *account.ROUTES,
    *local.ROUTES,
)
"""The endpoints of the management API that are served; any other is answered with 501."""
TICK = 0.2
"""Seconds between two looks at what runs and what could."""
LARGEST_BODY = 16 * 1024**2
"""Bytes of a call's body; archives are uploaded apart."""
Endpoint = Callable[[Request], Awaitable[Response]]
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_app(
    platform: Platform, *, tick: float = TICK, at_the_end: Callable[[Platform], None] = lambda _: None
) -> Starlette:
    """The application. While it is up, jobs and deployments move on.

    Args:
        platform: what it serves.
        tick: seconds between two rounds of moving on.
        at_the_end: called when the application shuts down, after the last round.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx.AsyncClient(timeout=predict.TIMEOUT, trust_env=False, limits=httpx.Limits()) as client:
            client.headers.clear()
            app.state.platform, app.state.http = platform, client
            await asyncio.to_thread(housekeeping.clear_uploads, platform)
            moving = asyncio.create_task(_move_on(platform, tick))
            try:
                yield
            finally:
                moving.cancel()
                with suppress(asyncio.CancelledError):
                    await moving
                await asyncio.to_thread(at_the_end, platform)

    app = Starlette(
        lifespan=lifespan,
        middleware=[Middleware(SameOriginOnly, names=platform.names), Middleware(predict.ModelHosts)],
        routes=[
            HttpRoute("/health", _health),
            HttpRoute("/v1/local/sign_in_links", _needs_key(pages.new_link), methods=["POST"]),
            *(
                HttpRoute(route.path, _needs_key(_endpoint(route.handler, route.in_thread)), methods=[route.method])
                for route in ROUTES
            ),
            HttpRoute("/graphql/", _needs_key(_endpoint(graphql.answer)), methods=["POST"]),
            HttpRoute("/graphql", _needs_key(_endpoint(graphql.answer)), methods=["POST"]),
            HttpRoute("/v1/{rest:path}", _needs_key(_not_served), methods=_METHODS),
            HttpRoute("/model-{rest:path}", _needs_key(predict.serve), methods=_METHODS),
            HttpRoute(presign.PREFIX + "{path:path}", _download),
            HttpRoute(f"/{s3.BUCKET}/{{key:path}}", s3.serve, methods=_METHODS),
            *pages.routes(),
        ],
        exception_handlers={
            Problem: _problem,
            404: _no_page,
            405: _wrong_method,
            OSError: _disk_error,
            OperationalError: _database_error,
            500: _broken,
        },
    )
    app.state.pages = pages.Pages(platform)
    return app


def advance(platform: Platform) -> None:
    """One round of moving everything on that can move. One part that fails does not keep the others from it."""
    for part in (lifecycle.advance, deployments.advance, housekeeping.clear):
        try:
            part(platform)
        except Exception:
            logger.exception("%s.advance failed; it is tried again", part.__module__)


async def _move_on(platform: Platform, tick: float) -> None:
    while True:
        await asyncio.to_thread(advance, platform)
        await asyncio.sleep(tick)


# ---------------------------------------------------------------- from HTTP to handlers and back


def _endpoint(handler: Handler, in_thread: bool = True) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        call = Call(request, await _body(request))
        return await run_in_threadpool(_answer, handler, call) if in_thread else _answer(handler, call)

    return endpoint


async def _body(request: Request) -> bytes:
    """The body of a call.

    Raises:
        Problem: 413: it has more than `LARGEST_BODY` bytes; 400: the caller went away before its end.
    """
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_BODY:
                raise Problem(413, f"The request is larger than {LARGEST_BODY:,} bytes, the most that is taken.")
    except ClientDisconnect:
        raise Problem(400, "The request broke off.") from None
    return bytes(body)


def _answer(handler: Handler, call: Call) -> Response:
    answer: Answer = handler(call)
    if isinstance(answer, BaseModel):
        return Response(answer.model_dump_json(), media_type="application/json")
    return JSONResponse(answer)


def _needs_key(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        platform: Platform = request.app.state.platform
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(key.strip().encode(), platform.api_key.encode())
        if scheme.lower() not in ("api-key", "bearer") or not known:
            raise Problem(401, "Invalid API key")
        return await endpoint(request)

    return guarded


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _not_served(request: Request) -> Response:
    raise Problem(501, f"The local platform does not serve {request.method} {request.url.path}.")


async def _download(request: Request) -> Response:
    """A file behind a presigned address, whole or in ranges."""
    platform: Platform = request.app.state.platform
    path, query = request.path_params["path"], request.query_params
    allowed = platform.presigner.allows(path, query.get("expires", ""), query.get("signature", ""), platform.now())
    if not allowed:
        raise Problem(403, "This address was not made by this platform, or has expired.")
    file = platform.data.root / path
    if not file.is_file():
        raise Problem(404, f"{path} was deleted.")
    return FileResponse(file, media_type="application/octet-stream")


# ---------------------------------------------------------------- errors


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return JSONResponse(error.body, status_code=error.status)


async def _no_page(request: Request, _: Exception) -> Response:
    return JSONResponse({"message": f"There is nothing at {request.url.path}."}, status_code=404)


async def _wrong_method(request: Request, _: Exception) -> Response:
    return JSONResponse({"message": f"{request.url.path} does not take {request.method}."}, status_code=405)


async def _disk_error(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return _full()
    return await _broken(request, error)


async def _database_error(request: Request, error: Exception) -> Response:
    return _full() if "disk is full" in str(error) else await _broken(request, error)


def _full() -> Response:
    return JSONResponse({"message": "The disk of the local platform is full. Free some space."}, status_code=507)


async def _broken(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    message = f"The local platform failed: {type(error).__name__}. Its own output says more."
    return JSONResponse({"message": message}, status_code=500)
