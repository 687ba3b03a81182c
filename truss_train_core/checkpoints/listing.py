"""What there is of a job's checkpoints: the list, and the files of each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, emit, send
from truss_train_core.api.models import Checkpoint, CheckpointFile, TrainingJob
from truss_train_core.api.request import Request
from truss_train_core.checkpoints import trainer_state
from truss_train_core.checkpoints.trainer_state import TrainerState
from truss_train_core.errors import Forbidden, NotFound, Rejected, Unauthorized
from truss_train_core.events import Notice

SMALL = 32 * 1024**2
"""Bytes of the largest file that is downloaded whole; weights never are."""


@dataclass(frozen=True)
class Survey:
    """A job's checkpoints at one moment.

    Attributes:
        job: as it was then.
        checkpoints: the oldest first.
        files: by checkpoint name.
        states: by checkpoint name, the training states that have been read: each is downloaded once.
    """

    job: TrainingJob
    checkpoints: tuple[Checkpoint, ...]
    files: Mapping[str, tuple[CheckpointFile, ...]] = field(default_factory=dict)
    states: dict[str, TrainerState | None] = field(default_factory=dict, repr=False, compare=False)

    def file(self, checkpoint: Checkpoint, name: str) -> CheckpointFile | None:
        """The file of this name directly in a checkpoint, of the lowest rank that has it."""
        path = f"{checkpoint.checkpoint_id}/{name}"
        having = [file for file in self.files.get(checkpoint.checkpoint_id, ()) if file.relative_file_name == path]
        return min(having, key=lambda file: file.node_rank, default=None)


def survey(job: TrainingJob) -> Flow[Survey]:
    """Look at all checkpoints of a job, and at the names and sizes of their files."""
    # In this order: of a checkpoint that is still growing, the files are then more than its listed size.
    listed = yield from send(endpoints.list_checkpoints(job.training_project_id, job.id))
    files: defaultdict[str, list[CheckpointFile]] = defaultdict(list)
    for file in (yield from list_files(job)):
        top, slash, _ = file.relative_file_name.partition("/")
        files[top if slash else "."].append(file)
    return Survey(
        listed.training_job, oldest_first(listed.checkpoints), {name: tuple(some) for name, some in files.items()}
    )


def list_checkpoints(job: TrainingJob) -> Flow[tuple[Checkpoint, ...]]:
    """A job's checkpoints, the oldest first; those of one moment by their step."""
    answer = yield from send(endpoints.list_checkpoints(job.training_project_id, job.id))
    return oldest_first(answer.checkpoints)


def list_files(job: TrainingJob) -> Flow[list[CheckpointFile]]:
    """All files of all checkpoints of a job, with presigned addresses that live seven days: as good as keys."""
    files: list[CheckpointFile] = []
    token: int | None = None
    while True:
        page = yield from send(endpoints.list_checkpoint_files(job.training_project_id, job.id, page_token=token))
        files += page.presigned_urls
        token = page.next_page_token
        if token is None:
            return files


def download(file: CheckpointFile) -> Flow[bytes | None]:
    """A small file's content; None, and a notice, where it is too large or cannot be had."""
    if file.size_bytes > SMALL:
        text = f"is {file.size_bytes:,} bytes and is not read: the limit is {SMALL:,}"
        yield from emit(Notice(about=file.relative_file_name, text=text))
        return None
    return (yield from _content(endpoints.download(file.url, file.relative_file_name)))


def read_state(survey: Survey, checkpoint: Checkpoint) -> Flow[TrainerState | None]:
    """A checkpoint's training state; None where it has none that can be read."""
    name = checkpoint.checkpoint_id
    if name not in survey.states:
        file = survey.file(checkpoint, trainer_state.FILE)
        content = (yield from download(file)) if file else None
        survey.states[name] = None if content is None else trainer_state.parse(content)
    return survey.states[name]


def beginning(file: CheckpointFile, size: int) -> Flow[bytes | None]:
    """The first bytes of a file of any size; None, and a notice, where they cannot be had."""
    return (yield from _content(endpoints.beginning(file.url, file.relative_file_name, size)))


def _content(request: Request[bytes]) -> Flow[bytes | None]:
    try:
        return (yield from send(request))
    except (NotFound, Forbidden, Unauthorized, Rejected) as error:
        yield from emit(Notice(about=request.about, text=f"cannot be downloaded: {error.message}"))
        return None


def step_of(name: str) -> int | None:
    """The training step that a checkpoint's name tells, or the epoch where it tells no step; None if neither.

    "checkpoint-500", "global_step_20", "iter_0000100" and "epoch=1-step=99.ckpt" have steps, "epoch_3" has an epoch.
    """
    for word in ("step", "checkpoint", "ckpt", "iter", "epoch"):
        match = re.search(rf"{word}[-_=]?(\d+)", name, re.IGNORECASE)
        if match:
            return int(match[1])
    return int(name) if name.isdecimal() else None


def oldest_first(checkpoints: list[Checkpoint]) -> tuple[Checkpoint, ...]:
    """In order of creation; those of one moment by their step."""

    def order(checkpoint: Checkpoint) -> tuple[object, int, str]:
        step = step_of(checkpoint.checkpoint_id)
        return checkpoint.created_at, -1 if step is None else step, checkpoint.checkpoint_id

    return tuple(sorted(checkpoints, key=order))
