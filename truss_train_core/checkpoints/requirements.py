"""What a checkpoint has to be like: each requirement is a function that returns why a checkpoint does not meet it.

They are pure: they look at the list and at the names and sizes of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from truss_train_core.api.models import Checkpoint
from truss_train_core.checkpoints.listing import Survey

Requirement = Callable[[Survey, Checkpoint], str | None]

_COMPLETE = ("COMPLETE", "COMPLETED")
_FORMATS = ("lora", "full", "whisper")
_SHARDED = (".distcp", ".metadata")
_WEIGHTS = (".safetensors", ".bin")


def complete(survey: Survey, checkpoint: Checkpoint) -> str | None:
    """All of it is in storage: it is said to be copied, it has files, and their sizes add up to its size.

    Without a status of its own (older jobs), a checkpoint counts as copied when the job has ended and copies no more.
    """
    if checkpoint.checkpoint_id == ".":
        return "its files lie directly in the checkpoint directory, so that it cannot be named"
    job_is_done = survey.job.is_terminal and not survey.job.is_syncing
    copied = checkpoint.sync_status in _COMPLETE or (checkpoint.sync_status is None and job_is_done)
    if not copied:
        return "not copied completely" if survey.job.is_terminal else "still being copied"
    files = survey.files.get(checkpoint.checkpoint_id, ())
    if not files:
        return "it has no files"
    by_rank: Counter[int] = Counter()
    for file in files:
        by_rank[file.node_rank] += file.size_bytes
    if checkpoint.size_bytes not in {by_rank.total(), *by_rank.values()}:
        return f"its files have {by_rank.total():,} bytes, and it is listed with {checkpoint.size_bytes:,}"
    return None


def deployable(survey: Survey, checkpoint: Checkpoint) -> str | None:
    """Complete, and of a kind that can be served: LoRA, full or Whisper weights, not sharded (documentation).

    What is deployed are the files of the first node (seen on the wire), so the weights must not be spread over several.
    """
    problem = complete(survey, checkpoint)
    if problem:
        return problem
    if any(file.relative_file_name.endswith(_SHARDED) for file in survey.files[checkpoint.checkpoint_id]):
        return "its weights are sharded (FSDP), which is not deployable as it is"
    weights = [file for file in survey.files[checkpoint.checkpoint_id] if file.relative_file_name.endswith(_WEIGHTS)]
    if {file.relative_file_name for file in weights} != {f.relative_file_name for f in weights if f.node_rank == 0}:
        return "its weights are spread over several nodes, and only those of the first would be deployed"
    if checkpoint.checkpoint_type not in _FORMATS:
        return f"of a type that cannot be deployed: {checkpoint.checkpoint_type or 'unknown'}"
    return None
