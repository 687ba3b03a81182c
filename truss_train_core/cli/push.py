"""`truss-train push`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truss_train_core.cli import config_files, options, output
from truss_train_core.cli.connection import AT_ONCE, PATIENTLY, connect
from truss_train_core.cli.failures import interruptible
from truss_train_core.cli.jobs import follow, ways_on
from truss_train_core.cli.output import Format
from truss_train_core.cli.sessions import Trigger

if TYPE_CHECKING:
    from truss_train_core.definitions import InteractiveSession, TrainingProject
    from truss_train_core.package import Package


def push(
    config: options.Config,
    tail: options.Tail = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; no call is made.")] = False,
    job_name: Annotated[str | None, typer.Option("--job-name", metavar="NAME", help="Name of the job.")] = None,
    team: Annotated[str | None, typer.Option("--team", metavar="NAME", help="Team whose project it is.")] = None,
    accelerator: Annotated[
        str | None, typer.Option("--accelerator", metavar="TYPE:COUNT", help="GPUs of each node, e.g. H100:8.")
    ] = None,
    node_count: Annotated[int | None, typer.Option("--node-count", metavar="NUMBER", help="How many nodes.")] = None,
    entrypoint: Annotated[
        str | None, typer.Option("--entrypoint", metavar="COMMAND", help="Run this instead of the start commands.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option("--priority", metavar="NUMBER", help="Higher leaves the queue earlier.")
    ] = None,
    spot: Annotated[bool, typer.Option("--spot", help="On spot capacity, which may be taken away.")] = False,
    interactive: Annotated[
        Trigger | None,
        typer.Option("--interactive", metavar="on_startup|on_failure|on_demand", help="With a session, open then."),
    ] = None,
    interactive_minutes: Annotated[
        int | None,
        typer.Option("--interactive-timeout-minutes", metavar="NUMBER", help="How long it lasts; -1 for no limit."),
    ] = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Submit the training job of a config.py. Pushed twice, there are two jobs."""
    from truss_train_core import package, pushing

    project, directory = config_files.training_project(config)
    overrides = {
        "team_name": team,
        "job.name": job_name,
        "job.priority": priority,
        "job.compute.accelerator": accelerator,
        "job.compute.node_count": node_count,
        "job.compute.availability_model": "spot" if spot else None,
        "job.runtime.start_commands": [entrypoint] if entrypoint else None,
        "job.interactive_session": _session(project, interactive, interactive_minutes),
    }
    project = overridden(project, overrides)
    if dry_run and form is Format.JSON:
        output.print_json(pushing.preview(project, source_dir=directory))
        return
    packed = pushing.prepare(project, directory)
    if dry_run:
        _print_files(packed)
        return

    from truss_train_core.cli.progress import json_lines, narrator, upload_bar

    listener = json_lines if tail and form is Format.JSON else narrator()
    with connect(remote, deadline=PATIENTLY if tail else AT_ONCE) as client:
        config_files.report(packed)
        with interruptible(_may_be_created), upload_bar(package.archive_size(packed)) as progress:
            project = pushing.for_team(project, client.remote)
            flow = pushing.push_flow(project, directory, packed=packed, progress=progress)
            submitted = client.run(flow, on_event=listener)
        if tail:
            follow(client, submitted.job, form)
        elif form is Format.JSON:
            result = pushing.push_result(submitted)
            output.print_json({key: result[key] for key in ("training_project", "training_job")})
        else:
            job = submitted.job
            output.messages(
                ["Look at it:", f"  {client.remote.job_page(job.training_project_id, job.id)}", *ways_on(job)]
            )


def _session(project: TrainingProject, trigger: Trigger | None, minutes: int | None) -> InteractiveSession | None:
    """The definition's session, or one with the defaults, changed; None where nothing is to be changed."""
    from truss_train_core.definitions import InteractiveSession

    if trigger is None and minutes is None:
        return None
    given = (project.job.interactive_session or InteractiveSession()).model_dump()
    changes = {"trigger": trigger.value if trigger else None, "timeout_minutes": minutes}
    return InteractiveSession(**{**given, **{name: value for name, value in changes.items() if value is not None}})


def _may_be_created() -> list[str]:
    return ["Whether the job was created already, this tells:", "  truss-train jobs"]


def overridden(project: TrainingProject, overrides: Mapping[str, Any]) -> TrainingProject:
    """The definition with fields, named by their path, replaced; None leaves a field alone.

    What the file itself set otherwise is said. Values are checked like those in a file.

    Raises:
        pydantic.ValidationError: a value that cannot be.
    """
    changed = project.model_copy(deep=True)
    for path, value in overrides.items():
        if value is None:
            continue
        *parents, field = path.split(".")
        owner: Any = changed
        for parent in parents:
            owner = getattr(owner, parent)
        before, was_set = getattr(owner, field), field in owner.model_fields_set
        setattr(owner, field, value)
        if was_set and getattr(owner, field) != before:
            output.warn(f"{path} is {getattr(owner, field)} instead of {before}, which the file says.")
    return changed


def _print_files(packed: Package) -> None:
    table = output.table("FILE", "SIZE", right=("SIZE",))
    for file in packed.files:
        table.add_row(file.arcname, output.size(file.size))
    output.stdout().print(table)
    config_files.report(packed)
    output.message("Nothing was sent. With -o json, this shows the requests.")
