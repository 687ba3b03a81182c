"""The attempts of one run, and their curves drawn as one.

Attempts of a run carry its key in their names (`jobs.names`). A job without a key that was started from a checkpoint
goes on where another job left off: it and those before it count as a run, too.

How their curves become one: `truss_train_core.curves`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from truss_train_core.checkpoints import step_of
from truss_train_core.checkpoints import trainer_state as states
from truss_train_core.checkpoints.sources import metrics_files
from truss_train_core.checkpoints.trainer_state import TrainerState, numbers
from truss_train_core.curves.joining import Curve, Measured, joined, resumed_at
from truss_train_core.jobs.names import attempt_of
from truss_train_core.local.processes.checkpoint_sync import INDEX_FILE
from truss_train_core.local.runner import StoredCheckpoint
from truss_train_core.local.server.data_dir import DataDir
from truss_train_core.local.server.database import Job
from truss_train_core.local.server.references import stored_checkpoints, stored_in

_LONGEST_RUN = 100
_MOST_POINTS = 1000
_LARGEST_STATE = 32 * 1024**2


# ---------------------------------------------------------------- which jobs are a run


def jobs_of_run(session: Session, job: Job) -> dict[int, Job]:
    """The jobs of the run that `job` is part of, by the numbers of their attempts; alone it is the first."""
    named = attempt_of(job.name)
    return _attempts_of(session, job, named[0]) if named else _ancestors_of(session, job)


def _attempts_of(session: Session, job: Job, key: str) -> dict[int, Job]:
    """Where two have the same, this job, or else the older one, is the attempt."""
    of_project = select(Job).where(Job.project_id == job.project_id, ~Job.deleted, Job.name.contains(f"-{key}-"))
    attempts: dict[int, Job] = {}
    for other in session.scalars(of_project.order_by(Job.seq).options(undefer(Job.loaded))):
        found = attempt_of(other.name)
        if found and found[0] == key and (found[1] not in attempts or other.id == job.id):
            attempts[found[1]] = other
    return dict(sorted(attempts.items()))


def _ancestors_of(session: Session, job: Job) -> dict[int, Job]:
    line = [job]
    while len(line) < _LONGEST_RUN and line[0].loaded:
        former = session.scalar(select(Job).where(Job.id == line[0].loaded[0]["job_id"], ~Job.deleted))
        if former is None or former.seq >= line[0].seq:
            break
        line.insert(0, former)
    return dict(enumerate(line, 1))


# ---------------------------------------------------------------- what they measured


@dataclass(frozen=True)
class Source:
    """Where the measurements of an attempt are. Long histories are read again only when `version` has changed.

    Attributes:
        store: the platform's copies of the job's checkpoints.
        version: of their index, which is written anew whenever something was copied.
        start: the step that the attempt went on from; None where it began anew.
    """

    job_id: str
    store: Path
    version: int
    number: int = 1
    start: int | None = None


def source_of(data: DataDir, job: Job, number: int = 1) -> Source:
    """Where the measurements of a job are, the attempt of this number."""
    store = data.checkpoints(job.project_id, job.id)
    try:
        version = (store / INDEX_FILE).stat().st_mtime_ns
    except OSError:
        version = 0
    return Source(job.id, store, version, number, _start_of(data, job))


def measured_by(source: Source) -> Measured:
    """All that a job's checkpoints tell of its training, in the order of steps."""
    stored = stored_in(source.store)
    newest = _newest_state(source.store, stored)
    if newest:
        records = [numbers(each) for each in newest.log_history if isinstance(each.get("step"), (int, float))]
    else:
        in_files = {step: _in_files(source.store, each) for each in stored if (step := step_of(each.name)) is not None}
        records = [{**in_files[step], "step": step} for step in sorted(in_files) if in_files[step]]
    return Measured(source.job_id, source.number, source.start, records)


@lru_cache(maxsize=256)
def metrics_of(source: Source) -> Mapping[str, Mapping[str, float]]:
    """What was measured of each checkpoint, by its name. The newest training state tells of all before it."""
    stored = stored_in(source.store)
    newest = _newest_state(source.store, stored)
    measured = {}
    for checkpoint in stored:
        step = step_of(checkpoint.name)
        state = newest if step is not None else read_state(source.store, checkpoint)
        known = state.at(state.global_step if step is None else step) if state else {}
        measured[checkpoint.name] = known or _in_files(source.store, checkpoint)
    return measured


def _newest_state(store: Path, stored: Sequence[StoredCheckpoint]) -> TrainerState | None:
    newest_first = sorted(stored, key=lambda each: (step_of(each.name) or -1, each.created_at), reverse=True)
    return next(filter(None, (read_state(store, checkpoint) for checkpoint in newest_first)), None)


def _in_files(store: Path, checkpoint: StoredCheckpoint) -> dict[str, float]:
    contents = (_content(store, checkpoint, name) for name in metrics_files.FILES)
    step = step_of(checkpoint.name)
    return next((metrics_files.parse(content, step) for content in contents if content is not None), {})


def read_state(store: Path, checkpoint: StoredCheckpoint) -> TrainerState | None:
    """A stored checkpoint's training state; None where it has none that can be read."""
    content = _content(store, checkpoint, states.FILE)
    return None if content is None else states.parse(content)


def _content(store: Path, checkpoint: StoredCheckpoint, name: str) -> bytes | None:
    path = store / "rank-0" / checkpoint.name / name
    try:
        return path.read_bytes() if path.stat().st_size <= _LARGEST_STATE else None
    except OSError:
        return None


def _start_of(data: DataDir, job: Job) -> int | None:
    if not job.loaded:
        return None
    loaded = job.loaded[0]
    step = step_of(loaded["checkpoint_name"])
    if step is not None:
        return step
    for checkpoint in stored_checkpoints(data, loaded["project_id"], loaded["job_id"]):
        if checkpoint.name == loaded["checkpoint_name"]:
            state = read_state(data.checkpoints(loaded["project_id"], loaded["job_id"]), checkpoint)
            return state.global_step if state else None
    return None


# ---------------------------------------------------------------- curves


@lru_cache(maxsize=256)
def charts_of(run: tuple[Source, ...]) -> dict[str, Any]:
    """`charts`, for a run as it is stored. Not to be changed: the same is handed out until the run goes on."""
    return charts([measured_by(source) for source in run])


def charts(run: Sequence[Measured]) -> dict[str, Any]:
    """What the page draws: a chart for each metric, its training and evaluation together; and where it was resumed."""
    grouped: defaultdict[str, dict[str, Curve]] = defaultdict(dict)
    for name, curve in joined(run).items():
        grouped[re.sub(r"^(eval|train|validation|val|test)_", "", name)][name] = curve
    return {
        "charts": [_chart(title, grouped[title]) for title in sorted(grouped, key=_importance)],
        "resumes": [{"step": step, "attempt": number} for number, step in resumed_at(run)],
    }


def _chart(title: str, curves: Mapping[str, Curve]) -> dict[str, Any]:
    by_name = sorted(curves.items(), key=lambda item: (item[0].startswith("eval_"), item[0]))
    lines: list[dict[str, Any]] = [{"label": name, "points": curve.counted} for name, curve in by_name]
    lines += [
        {"label": name, "points": curve.set_aside, "aside": True} for name, curve in by_name if curve.set_aside
    ]  # fmt: skip
    lines = [{**line, "points": _thinned(line["points"])} for line in lines]
    steps = sorted({step for line in lines for step in line["points"]})
    return {
        "title": title,
        "x": steps,
        "lines": [{**line, "points": [line["points"].get(step) for step in steps]} for line in lines],
    }


def _thinned(points: Mapping[float, float]) -> dict[float, float]:
    """Evenly chosen ones where there are more than can be told apart, the last one always."""
    steps = sorted(points)
    every = -(-len(steps) // _MOST_POINTS) or 1
    return {step: points[step] for step in steps[(len(steps) - 1) % every :: every]}


def _importance(title: str) -> tuple[int, str]:
    first = ("loss", "accuracy", "reward")
    return next((place for place, word in enumerate(first) if word in title), len(first)), title
