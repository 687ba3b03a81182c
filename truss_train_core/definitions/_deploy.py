"""What to deploy of what was trained, and on what."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from ._base import Choice, Definition, Text, fields_if_from_truss
from ._compute import Compute
from ._secrets import EnvironmentVariables

DEFAULT_LORA_RANK = 16
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that the documentation calls valid."""


class ModelWeightsFormat(Choice):
    """What a checkpoint's files are."""

    LORA = "lora"
    FULL = "full"
    WHISPER = "whisper"


class Checkpoint(Definition):
    """A checkpoint to deploy. Use the class of its format: FullCheckpoint, LoRACheckpoint or WhisperCheckpoint."""

    training_job_id: Text
    checkpoint_name: Text
    model_weight_format: ModelWeightsFormat

    @field_validator("model_weight_format", mode="before")
    @classmethod
    def _find_format(cls, value: Any) -> ModelWeightsFormat:
        return ModelWeightsFormat(value)


class FullCheckpoint(Checkpoint):
    """All weights of a language model."""

    model_weight_format: Literal[ModelWeightsFormat.FULL] = ModelWeightsFormat.FULL


class LoRADetails(Definition):
    """The adapter's rank. One that the documentation does not list warns, since the server may refuse it."""

    rank: int = Field(default=DEFAULT_LORA_RANK, ge=1)

    @field_validator("rank")
    @classmethod
    def _warn_of_unlisted(cls, rank: int) -> int:
        if rank not in LORA_RANKS:
            listed = ", ".join(map(str, LORA_RANKS))
            warnings.warn(f"LoRA rank {rank} is not one of the documented {listed}", UserWarning, stacklevel=3)
        return rank


class LoRACheckpoint(Checkpoint):
    """An adapter, to be served with its base model."""

    model_weight_format: Literal[ModelWeightsFormat.LORA] = ModelWeightsFormat.LORA
    lora_details: LoRADetails = Field(default_factory=LoRADetails)


class WhisperCheckpoint(Checkpoint):
    """A speech recognition model."""

    model_weight_format: Literal[ModelWeightsFormat.WHISPER] = ModelWeightsFormat.WHISPER


_CLASS_OF_FORMAT: dict[ModelWeightsFormat, type[Checkpoint]] = {
    ModelWeightsFormat.FULL: FullCheckpoint,
    ModelWeightsFormat.LORA: LoRACheckpoint,
    ModelWeightsFormat.WHISPER: WhisperCheckpoint,
}


def _by_format(checkpoint: Any) -> Any:
    checkpoint = fields_if_from_truss(checkpoint)
    if isinstance(checkpoint, Mapping) and "model_weight_format" in checkpoint:
        return _CLASS_OF_FORMAT[ModelWeightsFormat(checkpoint["model_weight_format"])].model_validate(checkpoint)
    return checkpoint


class CheckpointList(Definition):
    """Checkpoints that one deployment serves: of training jobs or of Loops runs, not of both.

    Attributes:
        download_folder: where they are in the deployment's container.
        base_model_id: the Hugging Face model that adapters belong to.
    """

    download_folder: str = "/tmp/training_checkpoints"  # noqa: S108 - a path in the deployment's container
    base_model_id: str | None = None
    checkpoints: list[Annotated[SerializeAsAny[Checkpoint], BeforeValidator(_by_format)]] = Field(default=[])
    loops_checkpoint_ids: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _one_kind(self) -> CheckpointList:
        if self.checkpoints and self.loops_checkpoint_ids:
            raise ValueError("checkpoints and loops_checkpoint_ids cannot be deployed together; give one of the two")
        return self


class LocalServer(Definition):
    """The process that serves a checkpoint on the local platform, for models that vLLM and transformers do not serve.

    It is ours, not Baseten's: there, the server is chosen from the checkpoint's format.

    Attributes:
        start_command: run by a shell, with `$PORT`, the port of 127.0.0.1 to listen on, and `$MODEL_DIR`, the directory
            of the first checkpoint. The platform picks the port, so that several deployments can run side by side.
        readiness_endpoint: answers 200 once the model can be asked.
        predict_endpoint: what the deployment's `/predict` is forwarded to.
    """

    start_command: Text
    readiness_endpoint: str = Field(default="/health", pattern="^/")
    predict_endpoint: str = Field(default="/v1/predict", pattern="^/")


class DeployCheckpointsRuntime(Definition):
    """What surrounds the server.

    Attributes:
        environment_variables: strings and secret references by name; not shown in reprs.
        local_server: an extension of this package, for the local platform alone. It is no part of any dump, so no
            request to Baseten can carry it.
    """

    environment_variables: EnvironmentVariables = Field(default={}, repr=False)
    local_server: LocalServer | None = Field(default=None, exclude=True)


class DeployCheckpointsConfig(Definition):
    """A deployment of checkpoints. What is left out is asked for, or taken from the checkpoint, when deploying."""

    checkpoint_details: CheckpointList | None = None
    model_name: str | None = None
    runtime: DeployCheckpointsRuntime | None = None
    compute: Compute | None = None
