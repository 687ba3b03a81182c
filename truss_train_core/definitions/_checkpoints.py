"""Saving checkpoints while a job runs, and starting a job from those of an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer

from ._base import Definition, Text


class CheckpointingConfig(Definition):
    """Whether the job keeps what it writes into `$BT_CHECKPOINT_DIR`.

    Attributes:
        enabled: off by default, and then nothing the job writes outlives it.
        checkpoint_path: the directory, instead of the platform's own choice.
        volume_size_gib: size of its volume in GiB, instead of the platform's default.
    """

    enabled: bool = False
    checkpoint_path: str | None = None
    volume_size_gib: int | None = Field(default=None, ge=1)


class LatestCheckpointReference(Definition):
    """The newest checkpoint of a project, or of a job; `BasetenCheckpoint.from_latest_checkpoint` makes one."""

    typ: Literal["baseten_latest_checkpoint"] = "baseten_latest_checkpoint"
    job_id: str | None = None
    project_name: str | None = None


class NamedCheckpointReference(Definition):
    """One checkpoint by its name; `BasetenCheckpoint.from_named_checkpoint` makes one.

    Without a job, the checkpoint of this name is meant that the newest job of the project has which has one; without a
    project too, of the job's own. That the API takes such references, the OpenAPI tells; what it takes them to mean is
    not documented. A field that is None is not sent.
    """

    typ: Literal["baseten_named_checkpoint"] = "baseten_named_checkpoint"
    checkpoint_name: Text
    job_id: Text | None = None
    project_name: Text | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> Any:
        return {name: value for name, value in handler(self).items() if value is not None}


class LoopsCheckpointReference(Definition):
    """A checkpoint of a Loops run; `LoopsCheckpoint.from_checkpoint` makes one."""

    typ: Literal["loops_checkpoint"] = "loops_checkpoint"
    run_id: Text
    checkpoint_name: Text
    target: Literal["trainer", "sampler"] = "trainer"


class BasetenCheckpoint:
    """Makes references to checkpoints of earlier training jobs."""

    @staticmethod
    def from_latest_checkpoint(project_name: str | None = None, job_id: str | None = None) -> LatestCheckpointReference:
        """Refer to the newest checkpoint there will be when the job starts.

        Args:
            project_name: of the most recent job of this project.
            job_id: of this job.

        Raises:
            ValueError: neither was given.
        """
        if not project_name and not job_id:
            raise ValueError("from_latest_checkpoint() needs a project_name, a job_id, or both")
        return LatestCheckpointReference(project_name=project_name, job_id=job_id)

    @staticmethod
    def from_named_checkpoint(
        checkpoint_name: str, job_id: str | None = None, project_name: str | None = None
    ) -> NamedCheckpointReference:
        """Refer to one checkpoint by its name, which is its directory's, such as `checkpoint-24`.

        Args:
            checkpoint_name: its name.
            job_id: of this job.
            project_name: of this project, by whatever job; together with a job, the job's.

        Raises:
            ValueError: neither a job nor a project was given.
        """
        if not job_id and not project_name:
            raise ValueError("from_named_checkpoint() needs a job_id, a project_name, or both")
        return NamedCheckpointReference(checkpoint_name=checkpoint_name, job_id=job_id, project_name=project_name)


class LoopsCheckpoint:
    """Makes references to checkpoints of Loops runs."""

    @staticmethod
    def from_checkpoint(
        run_id: str, checkpoint_name: str, target: Literal["trainer", "sampler"] = "trainer"
    ) -> LoopsCheckpointReference:
        """Refer to a checkpoint of a run: all of its training state (trainer), or the weights alone (sampler)."""
        return LoopsCheckpointReference(run_id=run_id, checkpoint_name=checkpoint_name, target=target)


def _typ(reference: Any) -> str:
    """The type of a reference; where a dict leaves it out, the one that has its fields."""
    fields = dict(reference) if isinstance(reference, (Mapping, BaseModel)) else {}
    if "typ" in fields:
        return str(fields["typ"])
    if "run_id" in fields:
        return "loops_checkpoint"
    return "baseten_named_checkpoint" if "checkpoint_name" in fields else "baseten_latest_checkpoint"


CheckpointReference = Annotated[
    Annotated[LatestCheckpointReference, Tag("baseten_latest_checkpoint")]
    | Annotated[NamedCheckpointReference, Tag("baseten_named_checkpoint")]
    | Annotated[LoopsCheckpointReference, Tag("loops_checkpoint")],
    Discriminator(_typ),
]


def _latest() -> list[CheckpointReference]:
    return [LatestCheckpointReference()]


class LoadCheckpointConfig(Definition):
    """Checkpoints that are downloaded before the first start command, into `$BT_LOAD_CHECKPOINT_DIR`.

    Attributes:
        enabled: off by default.
        checkpoints: what to load. When left out, the newest checkpoint of whatever the server takes that to mean;
            better name it.
        download_folder: where to.
    """

    enabled: bool = False
    checkpoints: list[CheckpointReference] = Field(default_factory=_latest)
    download_folder: str = "/tmp/loaded_checkpoints"  # noqa: S108 - a path in the job's container
