"""What tasks return of jobs, checkpoints and deployments: small, and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truss_train_core.checkpoints import Choice
    from truss_train_core.lineage import Thing
    from truss_train_core.runs import CheckpointRef


def job_facts(job: Any) -> dict[str, Any]:
    """A job as a task returns it."""
    return {"project_id": job.training_project_id, "job_id": job.id, "job_name": job.name, "status": job.current_status}


def checkpoint_facts(checkpoint: Any) -> dict[str, Any]:
    """A checkpoint as a task returns it."""
    from truss_train_core.checkpoints import step_of

    return {
        "job_id": checkpoint.training_job_id,
        "name": checkpoint.checkpoint_id,
        "step": step_of(checkpoint.checkpoint_id),
        "size_bytes": checkpoint.size_bytes,
    }


def checkpoint_refs(returned: Any) -> list[CheckpointRef]:
    """The checkpoints that a task returned: none, one or several, each chosen, or by its job's id and its name."""
    from truss_train_core.runs import CheckpointRef

    several = returned if isinstance(returned, (list, tuple)) else [returned]
    chosen = [each.get("checkpoint", each) for each in several if each]
    return [
        CheckpointRef(job_id=each["training_job_id"], name=each["checkpoint_id"])
        if "checkpoint_id" in each
        else CheckpointRef.model_validate(each)
        for each in chosen
    ]


def deployment_facts(deployment: Any) -> dict[str, Any]:
    """A deployment as a task returns it."""
    return {"model_id": deployment.model_id, "deployment_id": deployment.id, "status": deployment.status}


def chosen_checkpoint(choice: Choice) -> Thing:
    """A chosen checkpoint in lineage."""
    from truss_train_core import lineage

    job_id, name = choice.checkpoint.training_job_id, choice.checkpoint.checkpoint_id
    return lineage.checkpoint(job_id, name, step=choice.step, metric=choice.metric, value=choice.value)
