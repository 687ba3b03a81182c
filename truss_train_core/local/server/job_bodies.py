"""What the body of a create request asks for, and where this platform does something else than it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from truss_train_core.api.models import InstanceType
from truss_train_core.definitions import SecretReference, TrainingJob
from truss_train_core.definitions._base import Leniency
from truss_train_core.local.server.instances import instance_for
from truss_train_core.local.server.problems import from_validation, invalid
from truss_train_core.local.server.scheduler import CPU

_NOT_PART_OF_A_DEFINITION = {"TrainingJob.truss_user_env", "Runtime.artifacts"}
LARGEST = 2**31 - 1
"""The largest priority, and the largest number of nodes or cores, that a job can have here."""


class Artifact(BaseModel):
    """An uploaded archive."""

    s3_bucket: str
    s3_key: str


class _Uploaded(BaseModel):
    artifacts: list[Artifact] = []


@dataclass(frozen=True)
class JobRequest:
    """A checked request: the definition, the archives to unpack, and what was not understood."""

    job: TrainingJob
    artifacts: tuple[Artifact, ...]
    unknown: tuple[str, ...]

    @property
    def instance_type(self) -> InstanceType:
        return instance_for(self.job.compute)

    @property
    def accelerator(self) -> str | None:
        """The type of its GPUs, or None for a job without."""
        spec = self.job.compute.accelerator
        return spec.accelerator.value if spec and spec.accelerator else None

    @property
    def gpus(self) -> int:
        """GPUs of each node."""
        spec = self.job.compute.accelerator
        return spec.count if spec and spec.accelerator else 0

    @property
    def pool(self) -> str:
        return self.accelerator or CPU

    @property
    def demand(self) -> int:
        """What the job takes out of its pool, over all nodes."""
        return (self.gpus or self.job.compute.cpu_count) * self.job.compute.node_count

    @property
    def secret_names(self) -> dict[str, str]:
        """Names of secrets by the environment variables that take their values from them."""
        variables = self.job.runtime.environment_variables.items()
        return {name: value.name for name, value in variables if isinstance(value, SecretReference)}


def read_job(body: Mapping[str, Any]) -> JobRequest:
    """Check the `training_job` object of a create request by the rules of the definitions.

    Unknown fields, at any depth, are put aside rather than refused: no schema of the OpenAPI forbids them here, and
    clients may be newer than this platform.

    Raises:
        Problem: 400, naming each field that is wrong, or what a local platform cannot do.
    """
    api_default = {"enable_baseten_workdir": False}  # the SDK's is another
    leniency = Leniency()
    try:
        uploaded = _Uploaded.model_validate(body.get("runtime") or {})
        job = TrainingJob.model_validate({**api_default, **body}, context=leniency)
        instance_for(job.compute)
    except ValidationError as error:
        raise from_validation(error, "training_job") from None
    except ValueError as error:
        raise invalid(f"training_job.compute.accelerator: {error}.") from None
    _check_sizes(job)
    if job.interactive_session is not None:
        raise invalid(
            "training_job.interactive_session: the local platform has no interactive sessions. Leave it out; the job's "
            "processes run on this machine, where they can be looked at directly."
        )
    unknown = [name for name in dict.fromkeys(leniency.left_aside) if name not in _NOT_PART_OF_A_DEFINITION]
    return JobRequest(job, tuple(uploaded.artifacts), tuple(unknown))


def _check_sizes(job: TrainingJob) -> None:
    compute = job.compute
    numbers = {
        "priority": job.priority or 0,
        "compute.node_count": compute.node_count,
        "compute.cpu_count": compute.cpu_count,
    }
    for field, number in numbers.items():
        if abs(number) > LARGEST:
            raise invalid(f"training_job.{field}: it is beyond {LARGEST}.")


def notices(request: JobRequest) -> tuple[str, ...]:
    """Lines for the head of the job's log: what the definition asks for and this platform does otherwise."""
    job = request.job
    lines = [f"The base image {job.image.base_image} is not used: the job runs as processes on this machine."]
    if request.accelerator:
        lines.append(
            f"{request.gpus} {request.accelerator} per node count against the platform's capacity. The job sees the "
            "GPUs that this machine has, and runs without where it has none."
        )
    if job.image.docker_auth:
        lines.append("docker_auth is not used: no image is pulled.")
    for source in job.weights:
        lines.append(f"weights: {source.source} is not fetched, and nothing is mounted at {source.mount_location}.")
    if request.unknown:
        lines.append(f"Fields that this platform does not know are left aside: {', '.join(request.unknown)}.")
    return tuple(lines)
