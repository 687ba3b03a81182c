"""`truss-train jobs`, `logs`, `metrics` and `stop`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions, interruptible
from truss_train_core.cli.output import Format
from truss_train_core.errors import JobNotFound

if TYPE_CHECKING:
    from rich.table import Table

    from truss_train_core.api.client import Client
    from truss_train_core.api.models import MetricPoint, MetricsAnswer, TrainingJob

_BARS = "▁▂▃▄▅▆▇█"
_TREND_WIDTH = 24


def list_jobs(
    project: options.Project = None,
    everything: Annotated[bool, typer.Option("--all", help="Also jobs that have ended.")] = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """List the jobs that wait or run, newest first."""
    with connect(remote) as client:
        found = search(client, project, active=not everything)
    if form is Format.JSON:
        output.print_json(found)
    elif found:
        output.stdout().print(jobs_table(found))
    else:
        output.message("There are no jobs." if everything else "No job waits or runs; --all shows those that ended.")


def logs(
    job_id: options.JobId = None,
    project: options.Project = None,
    tail: options.Tail = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Print a job's log; with --tail, follow it until the job ends."""
    from truss_train_core import jobs
    from truss_train_core.cli.progress import narrator

    if tail:
        with connect(remote, deadline=PATIENTLY) as client:
            follow(client, client.run(jobs.find(job_id, project=project)), form)
        return
    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        if form is Format.JSON:
            output.print_json(client.run(jobs.fetch_log(job)))
        else:
            client.run(jobs.read_log(job), on_event=narrator(replicas=job.node_count > 1))


def follow(client: Client, job: TrainingJob, form: Format) -> None:
    """Follow a job's log until the job has ended.

    Raises:
        JobFailed: it ended otherwise than completed.
    """
    from truss_train_core import jobs
    from truss_train_core.cli.progress import json_lines, narrator

    listener = json_lines if form is Format.JSON else narrator(replicas=job.node_count > 1)
    with interruptible(lambda: [f"Job {job.name or job.id} goes on.", *ways_on(job)]):
        ended = client.run(jobs.follow(job, pace=jobs.LIVE), on_event=listener)
    if form is Format.JSON:
        output.print_json({"result": ended}, indent=None)
    jobs.expect_completed(ended)


def ways_on(job: TrainingJob) -> list[str]:
    """How to come back to a job, and how to stop it."""
    return [
        "Follow it:",
        f"  truss-train logs --tail --job-id {job.id}",
        "Stop it:",
        f"  truss-train stop --job-id {job.id}",
    ]


def metrics(
    job_id: options.JobId = None,
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Show what a job's nodes use, or used: processors, memory, disk, GPUs."""
    from truss_train_core import jobs

    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        age = (datetime.now(timezone.utc) - job.created_at).total_seconds()
        answer = client.run(jobs.metrics(job, seconds=age if job.is_terminal else None))
    if form is Format.JSON:
        output.print_json(answer)
        return
    rows = list(_measures(answer))
    if rows:
        output.stdout().print(_metrics_table(rows))
    else:
        output.message(f"Nothing was measured of {jobs.describe(job)}.")


def stop(
    job_id: Annotated[str | None, typer.Option("--job-id", help="Job, by id or name.")] = None,
    project: options.Project = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All jobs that wait or run, of --project if given.")
    ] = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Stop a job, or the only one that waits or runs. Its checkpoints stay."""
    from truss_train_core import jobs
    from truss_train_core.cli.progress import narrator

    with connect(remote) as client:
        chosen = _to_stop(client, job_id, project, everything)
        stopped = [client.run(jobs.stop(job), on_event=narrator()) for job in chosen]
    if form is Format.JSON:
        output.print_json(stopped)
        return
    for job in stopped:
        if not job.is_terminal:
            output.message(f"Asked {jobs.describe(job)} to stop; its checkpoints stay.")
        elif job.current_status.endswith("_STOPPED"):
            output.message(f"Stopped {jobs.describe(job)}; its checkpoints stay.")


def search(client: Client, project: str | None, *, active: bool) -> list[TrainingJob]:
    """The jobs of a project or of the account, the newest first; those that wait or run, or all."""
    from truss_train_core import jobs
    from truss_train_core.api import endpoints
    from truss_train_core.api.models import JobStatus, SearchJobs

    wanted = SearchJobs(
        statuses=list(JobStatus.ACTIVE) if active else None,
        project_id=client.run(jobs.find_project(project)).id if project else None,
    )
    found = client.send(endpoints.search_jobs(wanted)).training_jobs
    return sorted(found, key=lambda job: job.created_at, reverse=True)


def _to_stop(client: Client, job_id: str | None, project: str | None, everything: bool) -> list[TrainingJob]:
    from truss_train_core import jobs

    if job_id and everything:
        raise BadOptions("--job-id and --all do not go together.")
    if job_id:
        return [client.run(jobs.find(job_id, project=project))]
    active = search(client, project, active=True)
    if not active:
        raise JobNotFound("No job waits or runs.")
    if len(active) > 1 and not everything:
        named = ", ".join(f"{job.name} ({job.id})" if job.name else job.id for job in active)
        raise BadOptions(f"{len(active)} jobs wait or run: {named}.", hint="Name one with --job-id, or say --all.")
    return active


def jobs_table(found: Sequence[TrainingJob]) -> Table:
    """Jobs, one a line."""
    columns = ("JOB", "NAME", "PROJECT", "STATUS", "MACHINE", "CREATED", "TOOK")
    table = output.table(*columns, right=("TOOK",), gives_way=("NAME", "PROJECT", "MACHINE"))
    for job in found:
        machine = job.instance_type.name if job.instance_type else ""
        end = job.updated_at if job.is_terminal else datetime.now(timezone.utc)
        table.add_row(
            job.id,
            output.may_be_cut(job.name),
            output.may_be_cut(job.training_project.name),
            output.status_text(job.current_status),
            output.may_be_cut(f"{job.node_count} × {machine}" if job.node_count > 1 else machine),
            output.ago(job.created_at),
            output.duration((end - job.created_at).total_seconds()),
        )
    return table


class _Measure(NamedTuple):
    node: str
    what: str
    points: Sequence[MetricPoint]
    said: Callable[[float], str]


def _measures(answer: MetricsAnswer) -> Iterator[_Measure]:
    nodes = [(each.node_id, each.metrics) for each in answer.per_node_metrics] or [("leader", answer)]
    for node, of in nodes:
        measures = [
            _Measure(node, "CPU", of.cpu_usage, "{:.2f} cores".format),
            _Measure(node, "memory", of.cpu_memory_usage_bytes, output.size),
            *(_Measure(node, f"GPU {rank}", points, "{:.0%}".format) for rank, points in of.gpu_utilization.items()),
            *(
                _Measure(node, f"GPU {rank} memory", points, output.size)
                for rank, points in of.gpu_memory_usage_bytes.items()
            ),
            _Measure(node, "disk", of.ephemeral_storage.usage_bytes, output.size),
        ]
        yield from (measure for measure in measures if measure.points)


def _metrics_table(measures: Sequence[_Measure]) -> Table:
    table = output.table("NODE", "MEASURE", "LATEST", "HIGHEST", "TREND", right=("LATEST", "HIGHEST"))
    for node, what, points, said in measures:
        values = [point.value for point in points]
        table.add_row(node, what, said(values[-1]), said(max(values)), trend(values))
    return table


def trend(values: Sequence[float]) -> str:
    """The newest values as a row of bars, from the lowest to the highest of them."""
    newest = values[-_TREND_WIDTH:]
    low, span = min(newest), max(newest) - min(newest)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 0] for value in newest)
