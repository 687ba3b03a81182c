"""The application behind the page: Airflow says who may see it, and nothing is loaded from elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader

from airflow_provider_truss_train.run_page.reading import TaskId, shown
from airflow_provider_truss_train.run_page.sweep import swept

HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MAY_READ = [
    Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
    Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
]


@cache
def application() -> FastAPI:
    """The application, made once in a process."""
    app = FastAPI(openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    pages = Environment(loader=FileSystemLoader(HERE), autoescape=True)

    @app.get("/run", dependencies=MAY_READ)
    def run(request: Request, dag_id: str, run_id: str, task_id: str, map_index: str = "") -> HTMLResponse:
        # Airflow leaves the placeholder where a task is not mapped.
        task = TaskId(dag_id, run_id, task_id, int(map_index) if map_index.isdecimal() else -1)
        root = request.scope["root_path"]
        if sweep := swept(task):
            return HTMLResponse(pages.get_template("sweep.html").render(sweep=sweep, root=root), headers=HEADERS)
        return HTMLResponse(pages.get_template("run.html").render(run=shown(task), root=root), headers=HEADERS)

    return app
