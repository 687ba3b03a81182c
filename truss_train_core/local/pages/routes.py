"""Which address is answered by what. Those of jobs and deployments are the ones that clients print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from truss_train_core.local import joblogs
from truss_train_core.local.pages import access, actions, views
from truss_train_core.local.pages.access import Access, cookie_name, session_of
from truss_train_core.local.pages.feeds import Feeds, Look
from truss_train_core.local.pages.log_index import Filter, Line, LogIndexes
from truss_train_core.local.pages.rendering import html, render
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import Problem

_STATIC = Path(__file__).with_name("static")
_OFTEN, _SELDOM = 0.3, 1.0
"""Seconds between two looks at a job or a deployment, and at a list."""
_NEWEST_LINES = 100
_LONGEST_MESSAGE = 4096
"""Characters of a line that a log shows."""
_MOST_LINES = 1000


class _Files(StaticFiles):
    """Scripts and styles, asked for anew each time: a page of this release is not to run those of another."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        answer = super().file_response(*args, **options)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


class Pages:
    """What the pages of one platform share."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.access = Access(platform)
        self.feeds = Feeds()
        self.logs = LogIndexes()


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages


async def _page(request: Request, template: str, read: Callable[[], Mapping[str, Any]], events: str) -> Response:
    values = await run_in_threadpool(read)
    token = _pages(request).access.page_token(session_of(request))
    return html(request, template, page_token=token, events=events, **values)


def _events(request: Request, key: tuple[str, ...], look: Look, interval: float) -> Response:
    stream = _pages(request).feeds.follow(key, look, interval)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


# ---------------------------------------------------------------- signing in and out


async def sign_in(request: Request) -> Response:
    session = _pages(request).access.session(request.query_params.get("token", ""))
    if session is None:
        return access.sign_in_page(request)
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        cookie_name(request), session, max_age=int(access.SESSION_LIFETIME), httponly=True, samesite="strict"
    )
    return answer


async def sign_out(request: Request) -> Response:
    answer = JSONResponse({"go": "/"})
    answer.delete_cookie(cookie_name(request), httponly=True, samesite="strict")
    return answer


async def new_link(request: Request) -> Response:
    """A sign-in link for who has the API key."""
    return JSONResponse({"url": _pages(request).access.link(str(request.base_url).rstrip("/"))})


# ---------------------------------------------------------------- lists


def _list(template: str, part: str, read: Callable[[Request], Mapping[str, Any]]) -> tuple[Any, Any]:
    """The page of a list, and its events; both know the search."""

    async def page(request: Request) -> Response:
        events = f"{request.url.path.rstrip('/')}/events"
        return await _page(request, template, partial(read, request), events)

    async def events(request: Request) -> Response:
        def look() -> Mapping[str, Any]:
            try:
                return {"part:list": render(part, **read(request))}
            except Problem:
                return {"gone": "This project was deleted."}

        return _events(request, (request.url.path, request.query_params.get("q", "")), look, _SELDOM)

    return access.page(page), access.data(events)


def _search(request: Request) -> str:
    return request.query_params.get("q", "").strip()


def _projects(request: Request) -> Mapping[str, Any]:
    return views.projects_values(_pages(request).platform, _search(request))


def _jobs(request: Request) -> Mapping[str, Any]:
    return views.jobs_values(_pages(request).platform, _search(request), request.path_params.get("project_id"))


def _deployments(request: Request) -> Mapping[str, Any]:
    return views.deployments_values(_pages(request).platform, _search(request))


# ---------------------------------------------------------------- a job


def _job_of(request: Request) -> tuple[str, str]:
    return request.path_params["project_id"], request.path_params["job_id"]


async def job_page(request: Request) -> Response:
    platform, names = _pages(request).platform, _job_of(request)

    def read() -> Mapping[str, Any]:
        values, _ = views.job_values(platform, *names)
        return {**values, **views.definition(platform, *names)}

    return await _page(request, "job.html", read, f"{request.url.path}/events")


async def job_events(request: Request) -> Response:
    names = _job_of(request)
    return _events(request, ("job", *names), partial(_look_at_job, _pages(request), *names), _OFTEN)


def _look_at_job(pages: Pages, project_id: str, job_id: str) -> Mapping[str, Any]:
    try:
        values, run = views.job_values(pages.platform, project_id, job_id)
    except Problem:
        return {"gone": "This job was deleted."}
    return {
        "title": values["title"],
        "part:head": render("job_head.html", **values),
        "part:timeline": render("job_timeline.html", **values),
        "part:checkpoints": render("job_checkpoints.html", **values),
        "curves": views.curves(pages.platform, run),
        "machine": views.machine(pages.platform, job_id),
        "log": _newest_lines(pages, pages.platform.data.job(job_id)),
    }


async def job_title(request: Request) -> Response:
    """What a tab that is not in sight shows."""
    values, _ = await run_in_threadpool(views.job_values, _pages(request).platform, *_job_of(request))
    return PlainTextResponse(values["title"])


async def job_lines(request: Request) -> Response:
    return await run_in_threadpool(_lines, request, _pages(request).platform.data.job(_job_of(request)[1]))


# ---------------------------------------------------------------- a deployment


def _deployment_of(request: Request) -> tuple[str, str]:
    return request.path_params["model_id"], request.path_params["deployment_id"]


async def deployment_page(request: Request) -> Response:
    read = partial(views.deployment_values, _pages(request).platform, *_deployment_of(request))
    return await _page(request, "deployment.html", read, f"{request.url.path}/events")


async def deployment_events(request: Request) -> Response:
    names = _deployment_of(request)
    look = partial(_look_at_deployment, _pages(request), *names)
    return _events(request, ("deployment", *names), look, _OFTEN)


def _look_at_deployment(pages: Pages, model_id: str, deployment_id: str) -> Mapping[str, Any]:
    try:
        values = views.deployment_values(pages.platform, model_id, deployment_id)
    except Problem:
        return {"gone": "This deployment was deleted."}
    return {
        "part:head": render("deployment_head.html", **values),
        "log": _newest_lines(pages, pages.platform.data.deployment(deployment_id)),
    }


async def deployment_lines(request: Request) -> Response:
    return await run_in_threadpool(
        _lines, request, _pages(request).platform.data.deployment(_deployment_of(request)[1])
    )


# ---------------------------------------------------------------- logs


def _newest_lines(pages: Pages, directory: Path) -> dict[str, Any]:
    """What all who follow a log are told: how long it is, and its end."""
    index = pages.logs.of(directory)
    index.refresh()
    total, start, lines = index.window(-_NEWEST_LINES, _NEWEST_LINES)
    return {"total": total, "from": start, "ranks": index.ranks(), "lines": [_line(each) for each in lines]}


def _lines(request: Request, directory: Path) -> Response:
    query = request.query_params
    try:
        start, count = int(query.get("from", "0")), int(query.get("count", "100"))
        rank = int(query["rank"]) if query.get("rank") else None
        level = joblogs.LEVELS.index(query["level"]) + 1 if query.get("level") else 0
    except ValueError:
        return JSONResponse({"message": "from, count, rank or level is none."}, status_code=400)
    index = _pages(request).logs.of(directory)
    index.refresh()
    total, start, lines = index.window(start, min(count, _MOST_LINES), Filter(rank, level, query.get("text", "")))
    return JSONResponse({"total": total, "from": start, "lines": [_line(each) for each in lines]})


def _line(each: Line) -> list[Any]:
    """Number, milliseconds since the epoch, rank, level, message."""
    line, message = each.line, each.line.message.rstrip("\n")
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]} … ({len(message)} characters)"
    return [each.number, int(line.timestamp) // 1_000_000, line.replica, line.level, message]


# ---------------------------------------------------------------- the table


_JOB = "/training/{project_id}/logs/{job_id}"
_DEPLOYMENT = "/models/{model_id}/logs/{deployment_id}"


def routes() -> list[BaseRoute]:
    """All that the server has to mount, but for `new_link`, which is for who has the key."""
    projects = _list("projects.html", "project_list.html", _projects)
    jobs = _list("jobs.html", "job_list.html", _jobs)
    deployments = _list("deployments.html", "deployment_list.html", _deployments)
    return [
        Route("/", projects[0]),
        Route("/events", projects[1]),
        Route("/jobs", jobs[0]),
        Route("/jobs/events", jobs[1]),
        Route("/training/{project_id}", jobs[0]),
        Route("/training/{project_id}/events", jobs[1]),
        Route("/models", deployments[0]),
        Route("/models/events", deployments[1]),
        Route(_JOB, access.page(job_page)),
        Route(f"{_JOB}/events", access.data(job_events)),
        Route(f"{_JOB}/lines", access.data(job_lines)),
        Route(f"{_JOB}/title", access.data(job_title)),
        Route(_DEPLOYMENT, access.page(deployment_page)),
        Route(f"{_DEPLOYMENT}/events", access.data(deployment_events)),
        Route(f"{_DEPLOYMENT}/lines", access.data(deployment_lines)),
        *(Route(_JOB + path, access.action(run), methods=["POST"]) for path, run in actions.OF_JOBS.items()),
        *(
            Route(_DEPLOYMENT + path, access.action(run), methods=["POST"])
            for path, run in actions.OF_DEPLOYMENTS.items()
        ),
        Route("/sign-in", access.public(sign_in)),
        Route("/sign-out", access.action(sign_out), methods=["POST"]),
        Mount("/static", _Files(directory=_STATIC)),
    ]
