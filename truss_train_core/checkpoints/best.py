"""The best checkpoint of one job, or of all attempts of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from truss_train_core.api.flows import Flow, emit
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints.choose import Candidate, Choice, Mode, choose_best, choose_newest
from truss_train_core.checkpoints.listing import survey
from truss_train_core.checkpoints.requirements import Requirement, complete
from truss_train_core.checkpoints.sources import DEFAULT, Source, read_metrics
from truss_train_core.events import CheckpointChosen


def candidates(
    jobs: Sequence[TrainingJob], *, sources: Iterable[Source] = DEFAULT, requirement: Requirement = complete
) -> Flow[list[Candidate]]:
    """All checkpoints of these jobs, with what the sources know of them and whether they meet a requirement."""
    found: list[Candidate] = []
    sources = tuple(sources)
    for job in jobs:
        surveyed = yield from survey(job)
        metrics = yield from read_metrics(surveyed, sources)
        found += [
            Candidate(
                checkpoint=checkpoint,
                metrics=metrics.get(checkpoint.checkpoint_id, {}),
                rejected=requirement(surveyed, checkpoint),
            )
            for checkpoint in surveyed.checkpoints
        ]
    return found


def find_best(
    jobs: Sequence[TrainingJob],
    metric: str,
    mode: Mode,
    *,
    sources: Iterable[Source] = DEFAULT,
    requirement: Requirement = complete,
) -> Flow[Choice]:
    """Choose by a metric, as `choose_best` does, among all checkpoints of these jobs.

    Only small files are downloaded.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    choice = choose_best((yield from candidates(jobs, sources=sources, requirement=requirement)), metric, mode)
    yield from _tell(choice)
    return choice


def find_newest(jobs: Sequence[TrainingJob], *, requirement: Requirement = complete) -> Flow[Choice]:
    """Choose the newest among all checkpoints of these jobs.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    choice = choose_newest((yield from candidates(jobs, sources=(), requirement=requirement)))
    yield from _tell(choice)
    return choice


def _tell(choice: Choice) -> Flow[None]:
    yield from emit(
        CheckpointChosen(
            job_id=choice.checkpoint.training_job_id,
            checkpoint=choice.checkpoint.checkpoint_id,
            metric=choice.metric,
            mode=choice.mode,
            value=choice.value,
            reason=choice.reason,
            table=choice.table,
        )
    )
