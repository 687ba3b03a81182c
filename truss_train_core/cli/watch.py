"""`truss-train wait`, `watch` and `view`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions, interruptible
from truss_train_core.cli.jobs import jobs_table, search
from truss_train_core.cli.output import Format

if TYPE_CHECKING:
    from rich.table import Table

    from truss_train_core.api.client import Client
    from truss_train_core.api.models import TrainingJob, TrainingProject


def wait(
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB]...", help="Jobs, by id or name; all that wait or run if none is given."),
    ] = None,
    project: options.Project = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="How long to wait; the jobs go on.")
    ] = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Wait until jobs have ended and their checkpoints are copied; exit 1 unless all of them complete."""
    from truss_train_core import jobs
    from truss_train_core.cli.progress import narrator
    from truss_train_core.waiting import Limits

    with connect(remote, deadline=PATIENTLY) as client:
        awaited = _awaited(client, job_ids or [], project)
        with interruptible(lambda: _still_running(awaited)):
            flow = jobs.wait_all(awaited, limits=Limits(timeout=timeout), pace=jobs.LIVE)
            ended = client.run(flow, on_event=narrator())
    final = [ended[job.id] for job in awaited if job.id in ended]
    if form is Format.JSON:
        output.print_json(final)
    else:
        output.stdout().print(jobs_table(final))
    for job in final:
        jobs.expect_completed(job)
    _expect_all(awaited, final)


def watch(
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Show a live table of all jobs that wait or run, until Ctrl-C; with -o json, a line for each change of a job."""
    from truss_train_core import jobs
    from truss_train_core.cli.jobs_view import JobsView, json_changes, looks

    console = output.stdout()
    if form is Format.TEXT and not console.is_terminal:
        raise BadOptions(
            "There is no terminal to draw a live table on.",
            hint="`truss-train watch -o json` prints changes, `truss-train wait` waits for jobs.",
        )
    with connect(remote, deadline=PATIENTLY) as client:
        project_id = client.run(jobs.find_project(project)).id if project else None
        try:
            with nullcontext(json_changes()) if form is Format.JSON else JobsView(console) as show:
                client.run(looks(project_id), on_event=show)
        except KeyboardInterrupt:
            raise typer.Exit from None


def view(
    project: options.Project = None,
    job_id: Annotated[
        str | None, typer.Option("--job-id", metavar="JOB", help="One job, by id or name; also one that has ended.")
    ] = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Show projects, and the jobs that wait or run; with --project, all jobs of it."""
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    with connect(remote) as client:
        found = client.send(endpoints.list_projects()).training_projects
        if job_id is not None:
            shown = [client.run(jobs.find(job_id, project=project))]
            found = [each for each in found if each.id == shown[0].training_project_id]
        else:
            shown = search(client, project, active=project is None)
            found = [each for each in found if project in (None, each.id, each.name)]
    if form is Format.JSON:
        output.print_json({"projects": found, "jobs": shown})
        return
    output.stdout().print(_projects_table(found))
    output.stdout().print()
    if shown:
        output.stdout().print(jobs_table(shown))
    else:
        output.message("No job waits or runs; `truss-train jobs --all` shows those that ended.")


def _awaited(client: Client, job_ids: Sequence[str], project: str | None) -> list[TrainingJob]:
    from truss_train_core import jobs

    if job_ids:
        found = [client.run(jobs.find(each, project=project)) for each in job_ids]
        return list({job.id: job for job in found}.values())
    active = search(client, project, active=True)
    if not active:
        raise BadOptions("No job waits or runs, so there is nothing to wait for.", hint="Name a job that has ended.")
    return active


def _still_running(awaited: Sequence[TrainingJob]) -> list[str]:
    ids = " ".join(job.id for job in awaited)
    return ["The jobs go on. Wait for them again:", f"  truss-train wait {ids}"]


def _expect_all(awaited: Sequence[TrainingJob], final: Sequence[TrainingJob]) -> None:
    from truss_train_core import jobs
    from truss_train_core.errors import JobFailed

    ended = {job.id for job in final}
    for job in awaited:
        if job.id not in ended:
            raise JobFailed(f"{jobs.describe(job)} was deleted while it was waited for.", job_id=job.id)


def _projects_table(found: Sequence[TrainingProject]) -> Table:
    table = output.table("PROJECT", "NAME", "TEAM", "CREATED", "LATEST JOB", "STATUS", gives_way=("NAME", "TEAM"))
    for project in sorted(found, key=lambda each: each.created_at, reverse=True):
        latest = project.latest_job
        table.add_row(
            project.id,
            output.may_be_cut(project.name),
            output.may_be_cut(project.team_name),
            output.ago(project.created_at),
            latest.id if latest else "",
            output.status_text(latest.current_status) if latest else "",
        )
    return table
