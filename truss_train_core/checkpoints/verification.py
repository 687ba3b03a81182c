"""The newest checkpoint that can be trusted to go on from.

Verified is a checkpoint that is complete in storage (`requirements.complete`) and whole by what its own files say
(`wholeness.whole`).

Not all training code writes a trainer_state.json. Where no checkpoint of a job has one, that check is left out and the
result says so. Where others of the job have one, a checkpoint without is taken for one that was interrupted: the
state is written last but one. In the same way, where others of a job have files of a node, one without is not whole:
nodes save their own shards, in formats that may not say how many there should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from truss_train_core.api.flows import Flow, together
from truss_train_core.api.models import Checkpoint, TrainingJob
from truss_train_core.checkpoints import trainer_state
from truss_train_core.checkpoints.choose import nothing_usable
from truss_train_core.checkpoints.listing import Survey, step_of, survey
from truss_train_core.checkpoints.requirements import complete
from truss_train_core.checkpoints.wholeness import whole
from truss_train_core.values import Value


class Verified(Value):
    """A checkpoint to go on from. `evidence` says how it was verified."""

    job_id: str
    name: str
    step: int | None
    created_at: datetime
    evidence: str


def newest_verified(jobs: Sequence[TrainingJob]) -> Flow[Verified]:
    """The furthest verified checkpoint of these jobs, the attempts of one run.

    Furthest by step; by time where not all names tell one. Of two at one step, the later.

    Raises:
        NoUsableCheckpoint: there is none; the message says what each lacks.
    """
    surveys = yield from together(survey(job) for job in jobs)
    found = [(surveyed, checkpoint) for surveyed in surveys for checkpoint in surveyed.checkpoints]
    lacks: list[tuple[str, str]] = []
    for surveyed, checkpoint in _furthest_first(found):
        problem = yield from verify(surveyed, checkpoint)
        if problem is None:
            name = checkpoint.checkpoint_id
            evidence = "training state read" if _has_states(surveyed) else "complete; it has no training state to read"
            return Verified(
                job_id=surveyed.job.id,
                name=name,
                step=step_of(name),
                created_at=checkpoint.created_at,
                evidence=evidence,
            )
        lacks.append((checkpoint.checkpoint_id, problem))
    raise nothing_usable("No checkpoint can be resumed from", lacks)


def verify(surveyed: Survey, checkpoint: Checkpoint) -> Flow[str | None]:
    """What speaks against going on from a checkpoint, or None."""
    problem = complete(surveyed, checkpoint)
    if problem is None and _has_states(surveyed) and surveyed.file(checkpoint, trainer_state.FILE) is None:
        problem = f"no {trainer_state.FILE}, which others of its job have"
    if problem is None and (missing := _saving_nodes(surveyed) - _nodes(surveyed, checkpoint)):
        problem = f"no files of node {min(missing)}, which others of its job have"
    return problem or (yield from whole(surveyed, checkpoint))


def _furthest_first(found: list[tuple[Survey, Checkpoint]]) -> list[tuple[Survey, Checkpoint]]:
    steps = {checkpoint.checkpoint_id: step_of(checkpoint.checkpoint_id) for _, checkpoint in found}
    if None in steps.values():
        return sorted(found, key=lambda each: each[1].created_at, reverse=True)
    return sorted(found, key=lambda each: (steps[each[1].checkpoint_id], each[1].created_at), reverse=True)


def _has_states(surveyed: Survey) -> bool:
    return any(surveyed.file(checkpoint, trainer_state.FILE) for checkpoint in surveyed.checkpoints)


def _saving_nodes(surveyed: Survey) -> set[int]:
    """The nodes that save checkpoints of steps; what else lies there may be of one node only."""
    steps = [each for each in surveyed.checkpoints if step_of(each.checkpoint_id) is not None]
    return set().union(*(_nodes(surveyed, each) for each in steps))


def _nodes(surveyed: Survey, checkpoint: Checkpoint) -> set[int]:
    return {file.node_rank for file in surveyed.files.get(checkpoint.checkpoint_id, ())}
