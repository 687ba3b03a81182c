"""What pages show: values for templates, and series for charts, out of the database and the files of jobs."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from truss_train_core.api.models import JobStatus
from truss_train_core.local import samples
from truss_train_core.local.pages import runs
from truss_train_core.local.pages.rendering import state
from truss_train_core.local.runner import Sample, StoredCheckpoint
from truss_train_core.local.server import answers
from truss_train_core.local.server.data_dir import DataDir
from truss_train_core.local.server.database import Deployment, Environment, Job, Model, Project, StatusChange
from truss_train_core.local.server.deployments import find_deployment
from truss_train_core.local.server.lifecycle import STARTED, find_job
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.references import stored_checkpoints
from truss_train_core.local.server.scheduler import pool_size
from truss_train_core.local.server.truss_configs import CHAT

MOST_ROWS = 200
"""The most jobs in a list: the newest."""
_LOOKS_SECRET = re.compile(r"secret|password|passwd|credential|(token|key)$", re.IGNORECASE)
_GIB = 1 << 30
_PHASES = {JobStatus.PENDING: "queued", JobStatus.CREATED: "starting", JobStatus.DEPLOYING: "starting"}
"""What a timeline calls a status, where that is not its own name."""


# ---------------------------------------------------------------- a job


@dataclass(frozen=True)
class Phase:
    """A stretch of a job's life, in one word; `ended` is None for the last one, which lasts unless it is final."""

    name: str
    began: float
    ended: float | None
    is_final: bool


@dataclass(frozen=True)
class AttemptRow:
    """A job of a run, on its timeline; `loaded` is the checkpoint that it went on from."""

    job: Job
    number: int
    phases: Sequence[Phase]
    loaded: str | None


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint, and what is said of it beside its name."""

    stored: StoredCheckpoint
    metrics: Mapping[str, float]
    best_of: Sequence[str]
    deployed: Sequence[Deployment]


def job_values(platform: Platform, project_id: str, job_id: str) -> tuple[dict[str, Any], dict[int, Job]]:
    """What the templates of a job's page need, and the jobs of its run.

    Raises:
        Problem: 404.
    """
    with platform.database.reading() as session:
        job = find_job(session, project_id, job_id)
        run = runs.jobs_of_run(session, job)
        attempts = [
            AttemptRow(each, number, _phases(session, each), _loaded_from(each)) for number, each in run.items()
        ]  # fmt: skip
        told = answers.get_job(session, project_id, job_id)
        values = {
            "job": told,
            "title": f"{state(told.current_status)} · {told.name}",
            "pool": job.pool,
            "demand": job.demand,
            "attempts": attempts,
            "bar": _bar(attempts),
            "checkpoints": _checkpoints(session, platform.data, job),
        }
        return values, run


def definition(platform: Platform, project_id: str, job_id: str) -> dict[str, Any]:
    """What was submitted. Secrets are names, and a plain value that looks like one is hidden.

    Raises:
        Problem: 404.
    """
    with platform.database.reading() as session:
        job = find_job(session, project_id, job_id)
        body, loaded = dict(job.body), job.loaded
    runtime = dict(body.get("runtime") or {})
    runtime["environment_variables"] = {
        name: _shown(name, value) for name, value in (runtime.get("environment_variables") or {}).items()
    }
    shown = {**body, "runtime": runtime}
    return {"definition": shown, "definition_json": json.dumps(shown, indent=2, ensure_ascii=False), "loads": loaded}


def _shown(name: str, value: Any) -> Any:
    return "(hidden: its name is that of a secret)" if isinstance(value, str) and _LOOKS_SECRET.search(name) else value


def _phases(session: Session, job: Job) -> list[Phase]:
    """What befell a job; what is between the queue and the first command is one phase."""
    phases: list[Phase] = []
    for change in session.scalars(select(StatusChange).where(StatusChange.job_id == job.id).order_by(StatusChange.seq)):
        name = _PHASES.get(change.status) or state(change.status)
        if phases and phases[-1].name == name:
            continue
        if phases:
            phases[-1] = replace(phases[-1], ended=change.created_at)
        phases.append(Phase(name, change.created_at, None, change.status not in JobStatus.ACTIVE))
    return phases


def _bar(attempts: Sequence[AttemptRow]) -> list[Phase]:
    """All phases of a run that last, and what was between its attempts, one after the other."""
    bar: list[Phase] = []
    for attempt in attempts:
        for phase in attempt.phases:
            if bar and bar[-1].ended is not None and phase.began > bar[-1].ended:
                bar.append(Phase("between", bar[-1].ended, phase.began, False))
            if not phase.is_final:
                bar.append(phase)
    return bar


def _loaded_from(job: Job) -> str | None:
    return job.loaded[0]["checkpoint_name"] if job.loaded else None


def _checkpoints(session: Session, data: DataDir, job: Job) -> list[CheckpointRow]:
    """The ones that stand out, then the others, the newest first."""
    stored = stored_checkpoints(data, job.project_id, job.id)
    metrics = runs.metrics_of(runs.source_of(data, job))
    best = _best(metrics)
    deployed = [
        (weights["checkpoint_name"], deployment)
        for deployment in session.scalars(select(Deployment).where(~Deployment.deleted))
        for weights in deployment.weights
        if weights["job_id"] == job.id
    ]
    rows = [
        CheckpointRow(
            each,
            metrics.get(each.name, {}),
            [metric for metric, name in best.items() if name == each.name],
            [deployment for name, deployment in deployed if name == each.name],
        )
        for each in reversed(stored)
    ]
    return sorted(rows, key=lambda row: not (row.deployed or row.best_of))


def _best(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """Which checkpoint has the lowest evaluation loss, where that was measured."""
    losses = {name: measured["eval_loss"] for name, measured in metrics.items() if "eval_loss" in measured}
    finite = {name: loss for name, loss in losses.items() if loss == loss}
    return {"eval_loss": min(finite, key=lambda name: finite[name])} if finite else {}


def curves(platform: Platform, run: Mapping[int, Job]) -> dict[str, Any]:
    """The charts of a run's metrics."""
    return runs.charts_of(tuple(runs.source_of(platform.data, job, number) for number, job in run.items()))


def machine(platform: Platform, job_id: str) -> dict[str, Any]:
    """The charts of what a job uses, a line for each node, or for each GPU of each."""
    directory = platform.data.job(job_id)
    return _machine(directory, samples.length(directory))


@lru_cache(maxsize=256)
def _machine(directory: Path, _length: int) -> dict[str, Any]:
    nodes = samples.read_evenly(directory)
    charts = [_usage(title, nodes, read) for title, read in _MEASURED]
    return {"charts": [chart for chart in charts if chart["lines"]]}


_MEASURED: tuple[tuple[str, Callable[[Sample], Mapping[str, float]]], ...] = (
    ("CPU, cores", lambda sample: {"": sample.cpu_usage}),
    ("Memory, GiB", lambda sample: {"": sample.cpu_memory_usage_bytes / _GIB}),
    ("GPU, %", lambda sample: {f"GPU {gpu}": 100 * busy for gpu, busy in sample.gpu_utilization.items()}),
    (
        "GPU memory, GiB",
        lambda sample: {f"GPU {gpu}": used / _GIB for gpu, used in sample.gpu_memory_usage_bytes.items()},
    ),
    ("Disk, GiB", lambda sample: {"": sample.disk_usage_bytes / _GIB}),
)
"""What is drawn of a sample: values by what they are of, "" for the node itself."""


def _usage(title: str, nodes: Sequence[Sequence[Sample]], read: Callable[[Sample], Mapping[str, float]]) -> Any:
    lines: defaultdict[str, dict[float, float]] = defaultdict(dict)
    for rank, node in enumerate(nodes):
        for sample in node:
            for part, value in read(sample).items():
                label = f"node {rank} {part}".strip() if len(nodes) > 1 else part or title
                lines[label][sample.timestamp.timestamp()] = value
    times = sorted({time for points in lines.values() for time in points})
    return {
        "title": title,
        "x": times,
        "lines": [{"label": label, "points": [points.get(time) for time in times]} for label, points in lines.items()],
    }


# ---------------------------------------------------------------- lists


@dataclass(frozen=True)
class Pool:
    """A kind of machines: how many there are, are in use, and are waited for."""

    name: str
    size: int
    used: int
    waiting: int


def projects_values(platform: Platform, search: str) -> dict[str, Any]:
    """All projects, and what there is to train on."""
    with platform.database.reading() as session:
        found = answers.list_projects(session, Project.name.contains(search, autoescape=True))
        counted = select(Job.project_id, func.count()).where(~Job.deleted).group_by(Job.project_id)
        counts = {row[0]: row[1] for row in session.execute(counted)}
        return {"projects": found, "counts": counts, "pools": _pools(session, platform), "search": search}


def jobs_values(platform: Platform, search: str, project_id: str | None = None) -> dict[str, Any]:
    """The newest jobs, of all projects or of one.

    Raises:
        Problem: 404: there is no such project.
    """
    where = _matching(search, Job.name, Job.id, Job.status, Project.name)
    with platform.database.reading() as session:
        project = answers.get_project(session, project_id) if project_id else None
        if project:
            where.append(Job.project_id == project.id)
        newest = select(Job.seq).join(Project, Project.id == Job.project_id).where(~Job.deleted, *where)
        rows = answers.list_jobs(session, Job.seq.in_(newest.order_by(Job.seq.desc()).limit(MOST_ROWS)))
        return {
            "jobs": rows,
            "project": project,
            "pools": _pools(session, platform),
            "search": search,
            "most": MOST_ROWS,
        }


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment in a list."""

    deployment: Deployment
    model: Model
    environment: str | None


def deployments_values(platform: Platform, search: str) -> dict[str, Any]:
    """All deployments, the newest first."""
    where = _matching(search, Model.name, Deployment.id, Deployment.status)
    with platform.database.reading() as session:
        query = select(Deployment, Model, Environment.name).join(Model, Model.id == Deployment.model_id)
        query = query.outerjoin(Environment, Environment.deployment_id == Deployment.id)
        rows = session.execute(query.where(~Deployment.deleted, *where).order_by(Deployment.seq.desc()))
        return {"deployments": [DeploymentRow(*row) for row in rows], "search": search}


def deployment_values(platform: Platform, model_id: str, deployment_id: str) -> dict[str, Any]:
    """One deployment.

    Raises:
        Problem: 404.
    """
    with platform.database.reading() as session:
        deployment = find_deployment(session, model_id, deployment_id)
        environment = session.scalar(select(Environment.name).where(Environment.deployment_id == deployment.id))
        return {
            "deployment": deployment, "model": session.get_one(Model, model_id), "environment": environment,
            "can_serve": deployment.server is not None, "question": _question(deployment),
        }  # fmt: skip


def _question(deployment: Deployment) -> str:
    """What a person may want to send first."""
    if deployment.server and deployment.server.get("predict_path") != CHAT:
        return "{}"
    model = deployment.weights[0]["checkpoint_name"]
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]}, indent=2)


def _matching(search: str, *columns: Any) -> list[Any]:
    return [or_(*(column.contains(search, autoescape=True) for column in columns))] if search else []


def _pools(session: Session, platform: Platform) -> list[Pool]:
    def demand(*statuses: str) -> dict[str, int]:
        summed = select(Job.pool, func.sum(Job.demand)).where(Job.status.in_(statuses)).group_by(Job.pool)
        return {row[0]: row[1] for row in session.execute(summed)}

    used, waiting = demand(*STARTED), demand(JobStatus.PENDING)
    return [
        Pool(name, pool_size(name, platform.capacity), used.get(name, 0), waiting.get(name, 0))
        for name in sorted({*platform.capacity, *used, *waiting})
    ]
