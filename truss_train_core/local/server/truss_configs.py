"""The truss configuration that a deployment of checkpoints stands for, as Baseten's template makes it, and which server
can stand in for it on this machine. Pure functions of what is deployed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from truss_train_core.api.models import InstanceType
from truss_train_core.definitions import LocalServer, SecretReference
from truss_train_core.local.runner import StoredCheckpoint

DOWNLOAD_FOLDER = "/tmp/training_checkpoints"  # noqa: S108 - a path in the deployment's container
CHAT, TRANSCRIPTIONS = "/v1/chat/completions", "/v1/audio/transcriptions"


@dataclass(frozen=True)
class Deployed:
    """A checkpoint that is to be served, and the job it is of."""

    project_id: str
    job_id: str
    checkpoint: StoredCheckpoint

    @property
    def folder(self) -> str:
        """Where it is below the download folder, as on Baseten."""
        return f"{self.job_id}/rank-0/{self.checkpoint.name}"


class Server(BaseModel):
    """How a deployment is served on this machine.

    Attributes:
        start_command: run by a shell with `$PORT`, and `$MODEL_DIR` for the first checkpoint.
        environment: values, or references to secrets.
    """

    model_config = ConfigDict(frozen=True)

    start_command: str
    readiness_path: str = "/health"
    predict_path: str = CHAT
    environment: dict[str, str | SecretReference] = {}


def truss_config(
    model_name: str,
    deployed: Sequence[Deployed],
    machine: InstanceType,
    environment: Mapping[str, str | SecretReference],
) -> dict[str, Any]:
    """The configuration: an image with vLLM, the command that starts it, and the checkpoints it takes."""
    secrets = {name: value.name for name, value in environment.items() if not isinstance(value, str)}
    exports = [f"export {name}=$(cat /secrets/{shlex.quote(secret)})" for name, secret in secrets.items()]
    command = _vllm("vllm", deployed, DOWNLOAD_FOLDER, "8000", machine.gpu_count, "--dtype bfloat16")
    return {
        "model_name": model_name,
        "base_image": {"image": "vllm/vllm-openai:latest"},
        "docker_server": {
            "start_command": "%(ENV_BT_DOCKER_SERVER_START_CMD)s",
            "server_port": 8000,
            "predict_endpoint": _predict_path(deployed),
            "readiness_endpoint": "/health",
            "liveness_endpoint": "/health",
        },
        "environment_variables": {
            "BT_DOCKER_SERVER_START_CMD": " && ".join([*exports, command]),
            "VLLM_LOGGING_LEVEL": "WARNING",
            "HF_HUB_ENABLE_HF_TRANSFER": "1",
            **{name: value for name, value in environment.items() if isinstance(value, str)},
        },
        "requirements": ["vllm[audio]"] if deployed[0].checkpoint.kind == "whisper" else [],
        "resources": _resources(machine),
        "runtime": {"predict_concurrency": 256},
        "secrets": dict.fromkeys(secrets.values(), "set this secret in the workspace"),
        "training_checkpoints": {
            "download_folder": DOWNLOAD_FOLDER,
            "artifact_references": [
                {"training_job_id": one.job_id, "paths": [f"rank-0/{one.checkpoint.name}/"]} for one in deployed
            ],
        },
    }


def local_server(
    deployed: Sequence[Deployed],
    given: LocalServer | None,
    programs: Mapping[str, str],
    weights_root: str,
    environment: Mapping[str, str | SecretReference],
) -> Server | str:
    """The server for this machine, or why there is none and what to do.

    Args:
        deployed: the checkpoints.
        given: what the deployment's definition names; it goes before everything else.
        programs: paths of the programs that are installed, of "vllm" and "transformers".
        weights_root: where the checkpoints are on this machine.
        environment: what the deployment asks for.
    """
    if given:
        return Server(
            start_command=given.start_command,
            readiness_path=given.readiness_endpoint,
            predict_path=given.predict_endpoint,
            environment=dict(environment),
        )
    kind = deployed[0].checkpoint.kind
    if "vllm" in programs and (kind != "lora" or deployed[0].checkpoint.base_model):
        command = _vllm(shlex.quote(programs["vllm"]), deployed, weights_root, '"$PORT"', 0, "--host 127.0.0.1")
        return Server(start_command=command, predict_path=_predict_path(deployed), environment=dict(environment))
    if "transformers" in programs and kind == "full":
        command = f'{shlex.quote(programs["transformers"])} serve --host 127.0.0.1 --port "$PORT" "$MODEL_DIR"'
        return Server(start_command=command, environment={"HF_HUB_OFFLINE": "1", **environment})
    able = "vLLM" if kind != "full" else "vLLM or transformers[serving]"
    return (
        f"Nothing on this machine can serve {deployed[0].checkpoint.name}, a {kind} checkpoint. Install {able} beside "
        "the interpreter that the platform uses, or name a start command: "
        "DeployCheckpointsRuntime(local_server=LocalServer(start_command=…))."
    )


def _vllm(program: str, deployed: Sequence[Deployed], root: str, port: str, gpus: int, extra: str) -> str:
    first = deployed[0].checkpoint
    parallel = f" --tensor-parallel-size {gpus}" if gpus else ""
    if first.kind == "lora":
        modules = " ".join(shlex.quote(f"{one.checkpoint.name}={root}/{one.folder}") for one in deployed)
        ranks = [(one.checkpoint.lora_adapter_config or {}).get("r", 16) for one in deployed]
        model = shlex.quote(first.base_model or "")
        parallel += f" --enable-lora --max-lora-rank {max(ranks)} --lora-modules {modules}"
    else:
        model = shlex.quote(f"{root}/{deployed[0].folder}")
        parallel += f" --served-model-name {shlex.quote(first.name)}"
    return f"{program} serve {model} --port {port}{parallel} {extra}"


def _predict_path(deployed: Sequence[Deployed]) -> str:
    return TRANSCRIPTIONS if deployed[0].checkpoint.kind == "whisper" else CHAT


def _resources(machine: InstanceType) -> dict[str, Any]:
    if machine.gpu_count:
        return {"accelerator": machine.id, "use_gpu": True}
    return {"cpu": f"{machine.millicpu_limit}m", "memory": f"{machine.memory_limit_mib}Mi", "use_gpu": False}
