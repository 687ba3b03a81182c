"""What the buttons of a page do: the same as the calls of the API, with an answer that says where to look next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from truss_train_core.definitions import LocalServer
from truss_train_core.local.server import predict
from truss_train_core.local.server.calls import Answer, Call, Handler
from truss_train_core.local.server.lifecycle import find_job
from truss_train_core.local.server.routes import environments, jobs, local, models
from truss_train_core.local.server.templates import TemplateRequest, create_from_template

Endpoint = Callable[[Request], Awaitable[Response]]
Where = Callable[[Any], str]
"""From the API's answer to the page to go to."""


def _doing(handler: Handler, where: Where | None = None) -> Endpoint:
    """An endpoint that calls a handler of the API with the fields of a form."""

    async def run(request: Request) -> Response:
        answer = await run_in_threadpool(handler, Call(request, await request.body()))
        return JSONResponse({"go": where(answer)} if where else {})

    return run


def _page_of_job(answer: Any) -> str:
    return f"/training/{answer.training_job.training_project_id}/logs/{answer.training_job.id}"


def _page_of_deployment(answer: Mapping[str, str]) -> str:
    return f"/models/{answer['model_id']}/logs/{answer['id']}"


class _Deploy(BaseModel):
    """The form of a checkpoint's row. Without a command, what is installed serves it."""

    checkpoint: str
    model_name: str
    start_command: str = ""
    predict_endpoint: str = Field(default="/predict", pattern="^/")


def deploy(call: Call) -> Answer:
    """Serve a checkpoint of the job that the path names.

    Raises:
        Problem: 400.
    """
    form = call.body(_Deploy)
    command = form.start_command.strip()
    server = LocalServer(start_command=command, predict_endpoint=form.predict_endpoint) if command else None
    with call.platform.lifecycle, call.platform.database.writing() as session:
        job = find_job(session, call.path["project_id"], call.path["job_id"])
        checkpoint = {"training_job_id": job.id, "checkpoint_name": form.checkpoint}
        source = {
            "weight_source_type": "B10_CHECKPOINTING",
            "b10_training_checkpoint_weights_source": {"checkpoint": checkpoint},
        }
        request = TemplateRequest.model_validate(
            {
                "metadata": {"oracle_name": form.model_name.strip()},
                "weights_sources": [source],
                "instance_type_id": job.instance_type,
            }
        )
        version = create_from_template(call.platform, session, request, server).model_version
        assert version is not None
        return {"id": version.id, "model_id": version.model_id}


async def ask(request: Request) -> Response:
    """Send the body to the deployed model, and return what it says as text, whatever it is."""
    model_id, deployment_id = request.path_params["model_id"], request.path_params["deployment_id"]
    kept = [(name, value) for name, value in request.headers.raw if name in (b"content-type", b"content-length")]
    path = f"/model-{model_id}/deployment/{deployment_id}/predict"
    answer = await predict.serve(Request({**request.scope, "path": path, "headers": kept}, request.receive))
    answer.headers["content-type"] = "text/plain; charset=utf-8"
    del answer.headers["set-cookie"]
    return answer


OF_JOBS: Mapping[str, Endpoint] = {
    "/stop": _doing(jobs.stop_job),
    "/recreate": _doing(jobs.recreate_job, _page_of_job),
    "/preempt": _doing(local.preempt_job),
    "/deploy": _doing(deploy, _page_of_deployment),
}
OF_DEPLOYMENTS: Mapping[str, Endpoint] = {
    "/activate": _doing(models.activate),
    "/deactivate": _doing(models.deactivate),
    "/retry": _doing(models.retry),
    "/promote": _doing(environments.promote_to_production),
    "/ask": ask,
}
"""By the end of their paths."""
