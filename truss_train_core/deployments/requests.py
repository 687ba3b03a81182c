"""From a definition to the request that deploys it, and back from a deployment to what it serves. Pure.

The request is the current client's (seen on the wire). Base model, rank and format of the weights are not part of it:
the server takes them from the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from truss_train_core import definitions
from truss_train_core.api.models import Checkpoint, Deployment
from truss_train_core.definitions import DeployCheckpointsConfig, ModelWeightsFormat, SecretReference
from truss_train_core.errors import DefinitionError

Served: TypeAlias = frozenset[tuple[str, str]]
"""What a deployment serves: (job id, checkpoint name) each, and ("", id) for a checkpoint of Loops."""


def with_checkpoint(config: DeployCheckpointsConfig, checkpoint: Checkpoint) -> DeployCheckpointsConfig:
    """The definition, for this checkpoint instead of those it names. What else it says stays.

    Raises:
        DefinitionError: the checkpoint is not of a type that can be deployed.
    """
    return with_checkpoints(config, [checkpoint])


def with_checkpoints(config: DeployCheckpointsConfig, checkpoints: Sequence[Checkpoint]) -> DeployCheckpointsConfig:
    """As `with_checkpoint`, for several: adapters of one base model, which one deployment serves."""
    given = config.checkpoint_details or definitions.CheckpointList()
    bases = [each.base_model for each in checkpoints if each.base_model]
    details = given.model_copy(
        update={
            "checkpoints": [_definition(each) for each in checkpoints],
            "loops_checkpoint_ids": [],
            "base_model_id": given.base_model_id or next(iter(bases), None),
        }
    )
    return config.model_copy(update={"checkpoint_details": details})


LABELS = "TRUSS_TRAIN_LABELS"
"""The environment variable of a deployment that holds its labels, as a JSON object."""


def with_labels(config: DeployCheckpointsConfig, labels: Mapping[str, str]) -> DeployCheckpointsConfig:
    """The definition, with labels that say what the deployment came of: `deployments.labels` reads them back.

    The API has labels on deployments (OpenAPI), but takes them with an uploaded archive only, not where it makes a
    deployment from checkpoints. So they travel in the environment variable `LABELS`, which the server of the model can
    read too.
    """
    runtime = config.runtime or definitions.DeployCheckpointsRuntime()
    value = json.dumps({**labels_of(config), **labels}, sort_keys=True)
    variables = {**runtime.environment_variables, LABELS: value}
    return config.model_copy(update={"runtime": runtime.model_copy(update={"environment_variables": variables})})


def labels_of(config: DeployCheckpointsConfig) -> dict[str, str]:
    """The labels that `with_labels` gave a definition."""
    return labels_in(config.runtime.environment_variables if config.runtime else {})


def labels_in(variables: Mapping[str, Any]) -> dict[str, str]:
    """The labels that a deployment's environment variables hold; none where they hold something else."""
    try:
        held = json.loads(variables.get(LABELS) or "{}")
    except (TypeError, ValueError):
        return {}
    return {str(name): str(value) for name, value in held.items()} if isinstance(held, dict) else {}


def check(config: DeployCheckpointsConfig) -> None:
    """Refuse a definition that cannot be deployed.

    Raises:
        DefinitionError: it says what is missing.
    """
    details = config.checkpoint_details or definitions.CheckpointList()
    if not details.checkpoints and not details.loops_checkpoint_ids:
        raise DefinitionError("The deployment names no checkpoint.", hint="Set checkpoint_details.")
    if not config.model_name:
        raise DefinitionError("The deployment has no model name.", hint="Set model_name.")
    if config.compute is None:
        raise DefinitionError(
            f"The deployment of model {config.model_name!r} does not say what it runs on.",
            hint="Set compute, e.g. Compute(accelerator='H100').",
        )
    formats = [checkpoint.model_weight_format for checkpoint in details.checkpoints]
    if len(formats) > 1 and set(formats) != {ModelWeightsFormat.LORA}:
        raise DefinitionError(
            f"The deployment of model {config.model_name!r} names {len(formats)} checkpoints, not all of them LoRA.",
            hint="One deployment serves several adapters, or one checkpoint of another kind.",
        )


def template_request(
    config: DeployCheckpointsConfig, instance_type_id: str, *, dry_run: bool = False
) -> dict[str, Any]:
    """The GraphQL variable `request` for a definition that passed `check`."""
    details = config.checkpoint_details or definitions.CheckpointList()
    sources: list[dict[str, Any]] = [
        {
            "weight_source_type": "B10_CHECKPOINTING",
            "b10_training_checkpoint_weights_source": {
                "checkpoint": {"training_job_id": each.training_job_id, "checkpoint_name": each.checkpoint_name}
            },
        }
        for each in details.checkpoints
    ]
    sources += [
        {
            "weight_source_type": "B10_LOOPS_CHECKPOINTING",
            "b10_loops_checkpoint_weights_source": {"loops_checkpoint_id": each},
        }
        for each in details.loops_checkpoint_ids
    ]
    variables = config.runtime.environment_variables if config.runtime else {}
    return {
        "metadata": {"oracle_name": config.model_name},
        "weights_sources": sources,
        "inference_stack": {
            "stack_type": "VLLM",
            "environment_variables": [_variable(name, value) for name, value in variables.items()],
        },
        "instance_type_id": instance_type_id,
        "dry_run": False,
    }


def asked_for(config: DeployCheckpointsConfig) -> Served:
    """What a definition asks to be served."""
    details = config.checkpoint_details or definitions.CheckpointList()
    named = {(each.training_job_id, each.checkpoint_name) for each in details.checkpoints}
    return frozenset(named | {("", each) for each in details.loops_checkpoint_ids})


def served_by(truss_config: Mapping[str, Any] | None) -> Served:
    """What a deployment serves, from its configuration: paths there are like "rank-0/checkpoint-24/"."""
    section = (truss_config or {}).get("training_checkpoints") or {}
    named = {
        (str(reference.get("training_job_id")), _checkpoint_name(path))
        for reference in section.get("artifact_references") or []
        for path in reference.get("paths") or []
    }
    return frozenset(named | {("", str(each)) for each in section.get("loops_checkpoint_ids") or []})


def labelled(deployment: Deployment, wanted: Served) -> bool:
    """Whether a deployment's labels name the one checkpoint that is wanted: its job's id and its name."""
    values = {str(value) for value in (deployment.labels or {}).values()}
    return len(wanted) == 1 and all({job_id, name} <= values for job_id, name in wanted)


def _checkpoint_name(path: str) -> str:
    parts = PurePosixPath(path).parts
    below = parts[1:] if parts and parts[0].startswith("rank-") else parts
    return below[0] if below else ""


def _variable(name: str, value: str | SecretReference) -> dict[str, Any]:
    if isinstance(value, SecretReference):
        return {"name": name, "value": value.name, "is_secret_reference": True}
    return {"name": name, "value": value, "is_secret_reference": False}


def _definition(checkpoint: Checkpoint) -> definitions.Checkpoint:
    job_id, name = checkpoint.training_job_id, checkpoint.checkpoint_id
    if checkpoint.checkpoint_type == "lora":
        rank = (checkpoint.lora_adapter_config or {}).get("r", definitions.DEFAULT_LORA_RANK)
        return definitions.LoRACheckpoint(
            training_job_id=job_id, checkpoint_name=name, lora_details=definitions.LoRADetails(rank=rank)
        )
    if checkpoint.checkpoint_type == "full":
        return definitions.FullCheckpoint(training_job_id=job_id, checkpoint_name=name)
    if checkpoint.checkpoint_type == "whisper":
        return definitions.WhisperCheckpoint(training_job_id=job_id, checkpoint_name=name)
    raise DefinitionError(
        f"Checkpoint {name} of job {job_id} cannot be deployed: its type is {checkpoint.checkpoint_type or 'unknown'}."
    )
