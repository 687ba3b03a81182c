"""Every function of `endpoints` against the platform: what one end sends the other takes, and back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from served_platform import Served

from truss_train_core import Client, Remote
from truss_train_core.api import endpoints, models
from truss_train_core.api.request import Request
from truss_train_core.errors import NotFound, Rejected

BEFORE_OTHERS = ("create_environment", "promote_to_environment", "promote_to_production")
AFTER_OTHERS = (
    "delete_environment",
    "delete_secret",
    "delete_job",
    "delete_deployment",
    "delete_model",
    "delete_project",
)
ELSEWHERE = {"beginning", "download", "predict"}  # not calls to the API
REFUSED = {
    "preempt_job": "only spot jobs are preempted",
    "update_interactive_session": "has no interactive session",
    "sign_ssh_key": "cannot be logged in to",
    "cancel_promotion": "Nothing is being promoted",
    "update_job": "only a pending job can be changed",
    "delete_deployment": "answers in 'production'",
}
"""What has no meaning on this machine, or for a job that runs and a deployment that is in production."""


def test_every_request_is_taken_or_refused_with_its_cause(platform: Served) -> None:
    refused = {}
    with Client(Remote.at(platform.url, platform.platform.api_key, name="local")) as client:
        arguments = things(platform, client)
        for name, function in functions():
            try:
                client.send(function(**{each: arguments[each] for each in needed(function)}))
            except (Rejected, NotFound) as error:
                refused[name] = error.message

    assert refused.keys() == REFUSED.keys(), refused
    assert all(REFUSED[name] in said for name, said in refused.items()), refused


def functions() -> list[tuple[str, Callable[..., Request[Any]]]]:
    def place(name: str) -> int:
        return AFTER_OTHERS.index(name) + 1 if name in AFTER_OTHERS else -(name in BEFORE_OTHERS)

    public = [
        (name, function)
        for name, function in inspect.getmembers(endpoints, inspect.isfunction)
        if function.__module__ == endpoints.__name__ and not name.startswith("_") and name not in ELSEWHERE
    ]
    return sorted(public, key=lambda each: place(each[0]))


def needed(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.default is each.empty or each.name == "priority"]


def things(platform: Served, client: Client) -> dict[str, Any]:
    """Arguments that name what there is: a running job and a deployment that serves its checkpoint."""
    project = platform.project()
    job = platform.running_job(project)
    platform.store(project, job, "checkpoint-1")
    source = {"checkpoint": {"training_job_id": job, "checkpoint_name": "checkpoint-1"}}
    template = {
        "metadata": {"oracle_name": "digits"},
        "weights_sources": [
            {"weight_source_type": "B10_CHECKPOINTING", "b10_training_checkpoint_weights_source": source}
        ],
        "instance_type_id": "1x2",
    }
    made = client.send(endpoints.deploy_checkpoints(template, {"start_command": "python serve.py"}))
    deployment = made.create_model_version_from_inference_template.model_version
    assert deployment is not None
    platform.move_on()
    platform.serving.set(deployment.id, "active")
    platform.move_on()
    return {
        "project_id": project, "job_id": job, "model_id": deployment.model_id, "deployment_id": deployment.id,
        "team_id": client.send(endpoints.list_teams()).teams[0].id, "name": "staging", "session_id": "s1",
        "body": {"name": "digits", "image": {"base_image": "python:3.12"}}, "request": template, "priority": 1,
        "secret": models.UpsertSecret(name="staging", value="hunter2"), "gpu_type": "H100", "max_gpus": 8,
        "public_key": "ssh-ed25519 AAAA", "replica_id": "0",
    }  # fmt: skip
