"""`truss-train recreate`, `update` and `delete`."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.asking import confirm
from truss_train_core.cli.connection import AT_ONCE, PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.jobs import follow, ways_on
from truss_train_core.cli.output import Format

if TYPE_CHECKING:
    from truss_train_core.api.client import Client


class Availability(str, Enum):
    """The values of `--availability-model`."""

    DEDICATED = "dedicated"
    SPOT = "spot"


Job = Annotated[str, typer.Option("--job-id", metavar="JOB", help="Job, by id or name.", show_default=False)]


def recreate(
    job_id: Annotated[
        str | None,
        typer.Option("--job-id", metavar="JOB", help="Job, by id or name; if not given, the newest, when you say so."),
    ] = None,
    project: options.Project = None,
    tail: options.Tail = False,
    non_interactive: options.NonInteractive = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Submit a job once more: the same definition, the same files. Nothing is read from this machine."""
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    with connect(remote, deadline=PATIENTLY if tail else AT_ONCE) as client:
        like = client.run(jobs.find(job_id, project=project))
        if job_id is None:
            question, otherwise = f"Submit {jobs.describe(like)} once more?", f"Add --job-id {like.id}."
            confirm(question, otherwise=otherwise, may_ask=not non_interactive)
        job = client.send(endpoints.recreate_job(like.training_project_id, like.id)).training_job
        output.message(f"Submitted {jobs.describe(job)}, like {jobs.describe(like)}.")
        if tail:
            follow(client, job, form)
        elif form is Format.JSON:
            output.print_json(job)
        else:
            output.messages(ways_on(job))


def update(
    job_id: Job,
    priority: Annotated[
        int | None, typer.Option("--priority", metavar="NUMBER", help="Higher leaves the queue earlier.")
    ] = None,
    availability: Annotated[
        Availability | None,
        typer.Option("--availability-model", metavar="dedicated|spot", help="Spot capacity may be taken away."),
    ] = None,
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Change what the queue goes by, of a job that waits in it."""
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    if priority is None and availability is None:
        raise BadOptions("It is not said what to change.", hint="Add --priority NUMBER or --availability-model spot.")
    with connect(remote) as client:
        found = client.run(jobs.find(job_id, project=project))
        model = availability.value if availability else None
        request = endpoints.update_job(found.training_project_id, found.id, priority=priority, availability_model=model)
        job = client.send(request).training_job
    if form is Format.JSON:
        output.print_json(job)
    else:
        output.message(f"{jobs.describe(job)} has priority {job.priority or 0} and is {job.availability_model}.")


def delete(
    job_id: Annotated[
        str | None, typer.Option("--job-id", metavar="JOB", help="Job, by id or name.", show_default=False)
    ] = None,
    whole_project: Annotated[
        str | None,
        typer.Option("--whole-project", metavar="NAME", help="A project, by name or id, with all that it has."),
    ] = None,
    project: options.Project = None,
    yes: options.Yes = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Delete a job with its checkpoints, or a whole project. What runs is stopped; nothing brings it back.

    Checkpoints that are deployed are kept.
    """
    if (job_id is None) == (whole_project is None):
        raise BadOptions("Delete what?", hint="Say either --job-id JOB or --whole-project NAME.")
    with connect(remote) as client:
        if whole_project is not None:
            deleted = _delete_project(client, whole_project, yes)
        else:
            deleted = _delete_job(client, job_id or "", project, yes)
    if form is Format.JSON:
        output.print_json({"deleted": deleted})


def _delete_job(client: Client, job_id: str, project: str | None, yes: bool) -> str:
    from truss_train_core import checkpoints, jobs
    from truss_train_core.api import endpoints

    job = client.run(jobs.find(job_id, project=project))
    if not yes:
        count = len(client.run(checkpoints.list_checkpoints(job)))
        goes_too = f" with its {count} checkpoints" if count else ""
        runs = "" if job.is_terminal else ", which has not ended,"
        confirm(f"Delete {jobs.describe(job)}{runs}{goes_too} for good?", otherwise="To delete it unasked, add --yes.")
    client.send(endpoints.delete_job(job.training_project_id, job.id))
    output.message(f"Deleted {jobs.describe(job)}.")
    return job.id


def _delete_project(client: Client, name: str, yes: bool) -> str:
    from truss_train_core import jobs
    from truss_train_core.api import endpoints

    project = client.run(jobs.find_project(name))
    if not yes:
        count = len(client.send(endpoints.list_jobs(project.id)).training_jobs)
        confirm(
            f"Delete project {project.name} ({project.id}) with its {count} jobs, their checkpoints and its cache "
            "for good?",
            otherwise="To delete it unasked, add --yes.",
        )
    client.send(endpoints.delete_project(project.id))
    output.message(f"Deleted project {project.name} ({project.id}).")
    return project.id
