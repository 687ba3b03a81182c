"""What the buttons of a page do: the same as the calls of the API, with an answer that says where to look next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

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
        call = Call(
            platform=request.app.state.platform, base_url="", path=request.path_params, query={},
            content=await request.body(),
        )  # fmt: skip
        answer = await run_in_threadpool(handler, call)
        return JSONResponse({"go": where(answer)} if where else {})

    return run


def _page_of_job(answer: Any) -> str:
    return f"/training/{answer.training_job.training_project_id}/logs/{answer.training_job.id}"


def _page_of_deployment(answer: Mapping[str, str]) -> str:
    return f"/models/{answer['model_id']}/logs/{answer['id']}"


def deploy(call: Call) -> Answer:
    """Serve a checkpoint: of the job that the path names, under a model's name, by a command or what is installed.

    Raises:
        Problem: 400.
    """
    form = call.json()
    with call.platform.lifecycle, call.platform.database.writing() as session:
        job = find_job(session, call.path["project_id"], call.path["job_id"])
        request = TemplateRequest.model_validate(
            {
                "metadata": {"oracle_name": str(form.get("model_name", "")).strip()},
                "weights_sources": [_source(job.id, str(form.get("checkpoint", "")))],
                "instance_type_id": job.instance_type,
            }
        )
        version = create_from_template(call.platform, session, request, _server(form)).model_version
        assert version is not None
        return {"id": version.id, "model_id": version.model_id}


def _source(job_id: str, checkpoint: str) -> Mapping[str, Any]:
    wanted = {"checkpoint": {"training_job_id": job_id, "checkpoint_name": checkpoint}}
    return {"weight_source_type": "B10_CHECKPOINTING", "b10_training_checkpoint_weights_source": wanted}


def _server(form: Mapping[str, Any]) -> LocalServer | None:
    command = str(form.get("start_command", "")).strip()
    if not command:
        return None
    return LocalServer(start_command=command, predict_endpoint=str(form.get("predict_endpoint") or "/predict"))


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
