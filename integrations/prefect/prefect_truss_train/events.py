"""Prefect events of a run, and triggers that wait for them.

    event                            resource                       when
    ───────────────────────────────  ─────────────────────────────  ─────────────────────────────────────────
    truss-train.job.submitted        truss-train.job.<id>           it was created
    truss-train.job.<status>         truss-train.job.<id>           it is seen in that status, e.g. "completed"
    truss-train.checkpoint.created   truss-train.job.<id>           a checkpoint is complete
    truss-train.checkpoint.chosen    truss-train.job.<id>           it was chosen to be deployed
    truss-train.deployment.created   truss-train.deployment.<id>    it was created
    truss-train.deployment.promoted  truss-train.deployment.<id>    it answers in an environment
    truss-train.deployment.refused   truss-train.deployment.<id>    a gate did not let it answer in an environment
    truss-train.deployment.<status>  truss-train.deployment.<id>    it is seen in that status, e.g. "active"
    truss-train.dataset.changed      truss-train.dataset.<name>     `watch_dataset` found a new version

Their payload is the core's event as JSON; the flow run and the task run are related resources. Each has an id that
follows from what happened, so that a retried task, which sees it once more, does not announce it twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from prefect.events import DeploymentEventTrigger, emit_event, get_events_client
from prefect.events import Event as PrefectEvent

if TYPE_CHECKING:
    from truss_train_core import Event

PREFIX = "truss-train"


def announce(event: Event, *, project: str) -> None:
    """Emit the Prefect event for an event of the core, where there is one.

    Args:
        event: what happened.
        project: the training project; the label `truss-train.project` of the resource.
    """
    named = _named(event)
    if named is None:
        return
    name, kind, resource_id, resource_name = named
    payload = event.model_dump(mode="json", exclude={"table"})  # an artifact holds it, and events have a limit
    emit(
        name,
        f"{kind}.{resource_id}",
        payload,
        once=str(payload.get("checkpoint") or payload.get("environment") or ""),
        labels={"prefect.resource.name": resource_name, f"{PREFIX}.project": project},
    )


def emit(event: str, resource: str, payload: dict[str, Any], *, once: str, labels: dict[str, str]) -> None:
    """Emit an event whose id follows from its name, its resource and `once`: repeated, it is the same event."""
    emit_event(**_described(event, resource, payload, once, labels))


async def send(event: str, resource: str, payload: dict[str, Any], *, once: str, labels: dict[str, str]) -> None:
    """As `emit`, and the server has it on return."""
    async with get_events_client(checkpoint_every=1) as client:
        await client.emit(PrefectEvent(**_described(event, resource, payload, once, labels)))


def _described(event: str, resource: str, payload: dict[str, Any], once: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "event": f"{PREFIX}.{event}",
        "resource": {"prefect.resource.id": f"{PREFIX}.{resource}", **labels},
        "payload": payload,
        "id": uuid5(NAMESPACE_URL, f"{PREFIX}:{event}:{resource}:{once}"),
    }


def _named(event: Event) -> tuple[str, str, str, str] | None:
    """The name of an event, and the kind, id and name of its resource."""
    from truss_train_core import events

    match event:
        case events.JobSubmitted(job_id=job, job_name=name):
            return "job.submitted", "job", job, name or job
        case events.JobStatusChanged(job_id=job, job_name=name, status=status):
            return f"job.{_status(status)}", "job", job, name or job
        case events.CheckpointSeen(job_id=job, complete=True):
            return "checkpoint.created", "job", job, job
        case events.CheckpointChosen(job_id=job):
            return "checkpoint.chosen", "job", job, job
        case events.DeploymentCreated(deployment_id=deployment, model_name=model):
            return "deployment.created", "deployment", deployment, model
        case events.DeploymentStatusChanged(deployment_id=deployment, model_id=model, status=status):
            return f"deployment.{_status(status)}", "deployment", deployment, model
        case events.DeploymentPromoted(deployment_id=deployment, model_id=model):
            return "deployment.promoted", "deployment", deployment, model
        case events.DeploymentKept(refused_id=deployment, model_id=model):
            return "deployment.refused", "deployment", deployment, model
    return None


def _status(status: str) -> str:
    return status.removeprefix("TRAINING_JOB_").lower().replace("_", "-")


# ---------------------------------------------------------------- triggers, for `flow.serve(triggers=[…])`


def on_job(status: str, *, project: str | None = None, **options: Any) -> DeploymentEventTrigger:
    """Run a flow when a job of a project, or of any, is seen in a status.

    Args:
        status: "completed", "failed", "preempted", "stopped", "running" …
        project: name of the training project.
        options: what `DeploymentEventTrigger` takes beyond, such as `parameters`.
    """
    return _trigger(f"job.{status}", {f"{PREFIX}.project": project} if project else {}, options)


def on_deployment(status: str = "active", *, project: str | None = None, **options: Any) -> DeploymentEventTrigger:
    """Run a flow when a deployment made from a training project is seen in a status. Arguments as `on_job`."""
    return _trigger(f"deployment.{status}", {f"{PREFIX}.project": project} if project else {}, options)


def on_new_dataset(name: str, **options: Any) -> DeploymentEventTrigger:
    """Run a flow once for each version of a dataset that `watch_dataset` watches by this name.

    The flow learns which by `parameters={"version": "{{ event.payload.version }}"}`.
    """
    return _trigger("dataset.changed", {"prefect.resource.id": f"{PREFIX}.dataset.{name}"}, options)


def _trigger(event: str, match: dict[str, str], options: dict[str, Any]) -> DeploymentEventTrigger:
    match = match or {"prefect.resource.id": f"{PREFIX}.*"}
    return DeploymentEventTrigger(expect={f"{PREFIX}.{event}"}, match=match, **options)
