"""The best checkpoint of one job, or of all attempts of a run; or the best few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from truss_train_core.api.flows import Flow, emit, together
from truss_train_core.api.models import TrainingJob
from truss_train_core.checkpoints.choose import Candidate, Choice, Mode, choose_newest, choose_top
from truss_train_core.checkpoints.listing import Survey, survey
from truss_train_core.checkpoints.requirements import Requirement, complete
from truss_train_core.checkpoints.sources import DEFAULT, Source, read_metrics
from truss_train_core.checkpoints.wholeness import whole
from truss_train_core.events import CheckpointChosen


def candidates(
    jobs: Sequence[TrainingJob], *, sources: Iterable[Source] = DEFAULT, requirement: Requirement = complete
) -> Flow[list[Candidate]]:
    """All checkpoints of these jobs, with what the sources know of them and whether they meet a requirement."""
    return [candidate for _, candidate in (yield from _surveyed(jobs, tuple(sources), requirement))]


def find_best(
    jobs: Sequence[TrainingJob],
    metric: str,
    mode: Mode,
    *,
    sources: Iterable[Source] = DEFAULT,
    requirement: Requirement = complete,
) -> Flow[Choice]:
    """Choose by a metric, as `choose_best` does, among all checkpoints of these jobs that are whole.

    Only small files are downloaded, and of the one that would be chosen the heads of its weights.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    top = yield from find_top(jobs, metric, mode, 1, sources=sources, requirement=requirement)
    return top[0]


def find_top(
    jobs: Sequence[TrainingJob],
    metric: str,
    mode: Mode,
    count: int = 3,
    *,
    sources: Iterable[Source] = DEFAULT,
    requirement: Requirement = complete,
) -> Flow[tuple[Choice, ...]]:
    """The best checkpoints by a metric, as `choose_top` ranks them, the best first; all of them are whole.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    found = yield from _surveyed(jobs, tuple(sources), requirement)
    return (yield from _whole_ones(found, partial(choose_top, metric=metric, mode=mode, count=count)))


def find_newest(jobs: Sequence[TrainingJob], *, requirement: Requirement = complete) -> Flow[Choice]:
    """Choose the newest among all checkpoints of these jobs that are whole.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    found = yield from _surveyed(jobs, (), requirement)
    return (yield from _whole_ones(found, lambda some: (choose_newest(some),)))[0]


_Found = list[tuple[Survey, Candidate]]


def _surveyed(jobs: Sequence[TrainingJob], sources: Sequence[Source], requirement: Requirement) -> Flow[_Found]:
    found = yield from together(_surveyed_one(job, sources, requirement) for job in jobs)
    return list(chain.from_iterable(found))


def _surveyed_one(job: TrainingJob, sources: Sequence[Source], requirement: Requirement) -> Flow[_Found]:
    surveyed = yield from survey(job)
    metrics = yield from read_metrics(surveyed, sources)
    found: _Found = []
    for checkpoint in surveyed.checkpoints:
        measured, rejected = metrics.get(checkpoint.checkpoint_id, {}), requirement(surveyed, checkpoint)
        found.append((surveyed, Candidate(checkpoint=checkpoint, metrics=measured, rejected=rejected)))
    return found


def _whole_ones(found: _Found, choose: Callable[[list[Candidate]], tuple[Choice, ...]]) -> Flow[tuple[Choice, ...]]:
    """Choose, look into what was chosen, and choose again without what is not whole."""
    known_whole: set[int] = set()
    while True:
        choices = choose([candidate for _, candidate in found])
        wanted = {id(choice.checkpoint) for choice in choices}
        places = [n for n, (_, each) in enumerate(found) if id(each.checkpoint) in wanted and n not in known_whole]
        if not places:
            for choice in choices:
                yield from _tell(choice)
            return choices
        for place in places:
            surveyed, candidate = found[place]
            problem = yield from whole(surveyed, candidate.checkpoint)
            if problem is None:
                known_whole.add(place)
            else:
                found[place] = surveyed, candidate.model_copy(update={"rejected": problem})


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
