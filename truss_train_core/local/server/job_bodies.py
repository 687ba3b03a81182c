"""What the body of a create request asks for, and where this platform does something else than it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from truss_train_core.api.models import InstanceType
from truss_train_core.definitions import Compute, Image, Runtime, SecretReference, TrainingJob
from truss_train_core.local.server.instances import instance_for
from truss_train_core.local.server.problems import from_validation, invalid
from truss_train_core.local.server.scheduler import CPU

_NESTED: dict[str, type[BaseModel]] = {"image": Image, "compute": Compute, "runtime": Runtime}
_NOT_PART_OF_A_DEFINITION = {"truss_user_env"}
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

    Unknown fields of newer clients are put aside rather than refused, as the API does.

    Raises:
        Problem: 400, naming each field that is wrong, or what a local platform cannot do.
    """
    known, unknown = _known(TrainingJob, body)
    for name, model in _NESTED.items():
        if isinstance(known.get(name), Mapping):
            known[name], more = _known(model, known[name])
            unknown += [f"{name}.{field}" for field in more]
    known.setdefault("enable_baseten_workdir", False)  # the API's default, not the SDK's
    try:
        uploaded = _Uploaded.model_validate(body.get("runtime") or {})
        job = TrainingJob.model_validate(known)
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
    unnoticed = {*_NOT_PART_OF_A_DEFINITION, "runtime.artifacts"}
    return JobRequest(job, tuple(uploaded.artifacts), tuple(name for name in unknown if name not in unnoticed))


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


def _known(model: type[BaseModel], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    known = {name: value for name, value in given.items() if name in model.model_fields}
    return known, [name for name in given if name not in model.model_fields]
