"""What a training job is: the models of Baseten's Training SDK, with their names, defaults and enums.

They are values that users write, and only pydantic stands behind them: no file, network or clock.
`TrainingJob.wire_body` and `TrainingProject.wire_body` are what the API is sent.

They accept what the SDK accepts and are kinder: enums also take their text in any case, numbers have ranges, and an
unknown field is an error that names the nearest known one. What they refuse is a `pydantic.ValidationError`, which is
a ValueError.

Those of a deployment are loaded on first use: a DAG or flow file that trains builds none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._checkpoints import (
    BasetenCheckpoint,
    CheckpointingConfig,
    CheckpointReference,
    LatestCheckpointReference,
    LoadCheckpointConfig,
    LoopsCheckpoint,
    LoopsCheckpointReference,
    NamedCheckpointReference,
)
from ._compute import Accelerator, AcceleratorSpec, AvailabilityModel, Compute
from ._docker import (
    AWSAssumeRoleDockerAuth,
    AWSIAMDockerAuth,
    AWSOIDCDockerAuth,
    DockerAuth,
    DockerAuthType,
    GCPOIDCDockerAuth,
    GCPServiceAccountJSONDockerAuth,
    Image,
    RegistrySecretDockerAuth,
)
from ._parameters import Parameter
from ._secrets import SecretReference
from ._training import (
    DEFAULT_INTERACTIVE_SESSION_TIMEOUT_MINUTES,
    CacheConfig,
    InteractiveSession,
    InteractiveSessionAuthProvider,
    InteractiveSessionProvider,
    InteractiveSessionTrigger,
    Runtime,
    TrainingJob,
    TrainingProject,
    Workspace,
)
from ._weights import WeightsAuth, WeightsAuthMethod, WeightsSource

if TYPE_CHECKING:
    from ._deploy import (
        DEFAULT_LORA_RANK,
        LORA_RANKS,
        Checkpoint,
        CheckpointList,
        DeployCheckpointsConfig,
        DeployCheckpointsRuntime,
        FullCheckpoint,
        LocalServer,
        LoRACheckpoint,
        LoRADetails,
        ModelWeightsFormat,
        WhisperCheckpoint,
    )

__all__ = [
    "DEFAULT_INTERACTIVE_SESSION_TIMEOUT_MINUTES",
    "DEFAULT_LORA_RANK",
    "LORA_RANKS",
    "AWSAssumeRoleDockerAuth",
    "AWSIAMDockerAuth",
    "AWSOIDCDockerAuth",
    "Accelerator",
    "AcceleratorSpec",
    "AvailabilityModel",
    "BasetenCheckpoint",
    "CacheConfig",
    "Checkpoint",
    "CheckpointList",
    "CheckpointReference",
    "CheckpointingConfig",
    "Compute",
    "DeployCheckpointsConfig",
    "DeployCheckpointsRuntime",
    "DockerAuth",
    "DockerAuthType",
    "FullCheckpoint",
    "GCPOIDCDockerAuth",
    "GCPServiceAccountJSONDockerAuth",
    "Image",
    "InteractiveSession",
    "InteractiveSessionAuthProvider",
    "InteractiveSessionProvider",
    "InteractiveSessionTrigger",
    "LatestCheckpointReference",
    "LoRACheckpoint",
    "LoRADetails",
    "LoadCheckpointConfig",
    "LocalServer",
    "LoopsCheckpoint",
    "LoopsCheckpointReference",
    "ModelWeightsFormat",
    "NamedCheckpointReference",
    "Parameter",
    "RegistrySecretDockerAuth",
    "Runtime",
    "SecretReference",
    "TrainingJob",
    "TrainingProject",
    "WeightsAuth",
    "WeightsAuthMethod",
    "WeightsSource",
    "WhisperCheckpoint",
    "Workspace",
]


def __getattr__(name: str) -> Any:
    if name in __all__:  # and not above: of a deployment
        value = getattr(import_module(f"{__name__}._deploy"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
