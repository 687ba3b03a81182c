"""`truss-train resume` and `best`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli import config_files, options, output
from truss_train_core.cli.checkpoints import Direction
from truss_train_core.cli.connection import PATIENTLY, connect
from truss_train_core.cli.failures import BadOptions, interruptible
from truss_train_core.cli.jobs import follow, ways_on
from truss_train_core.cli.output import Format
from truss_train_core.errors import NoUsableCheckpoint

if TYPE_CHECKING:
    from truss_train_core.api.client import Client
    from truss_train_core.api.models import TrainingJob
    from truss_train_core.runs import CheckpointRef

Job = Annotated[str, typer.Argument(metavar="JOB", help="Job, by id or name.", show_default=False)]


def resume(
    job_id: Job,
    config: Annotated[
        Path, typer.Argument(metavar="[CONFIG]", help="Python file with one TrainingProject: that of JOB.")
    ] = Path("config.py"),
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", metavar="NAME", help="Go on from this one; otherwise the newest that is verified."
        ),
    ] = None,
    project: options.Project = None,
    tail: options.Tail = False,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Submit a new job that goes on from the newest verified checkpoint of JOB, which has ended.

    The definition and the files are those of CONFIG as they are now. `truss-train run` does this by itself, as often as
    it takes.
    """
    from truss_train_core import jobs, pushing, runs
    from truss_train_core.cli.progress import json_lines, narrator

    definition, directory = config_files.training_project(config)
    with connect(remote, deadline=PATIENTLY) as client:
        broken_off = client.run(jobs.find(job_id, project=project))
        _check(broken_off, definition.name)
        try:
            start = _start(client, broken_off, checkpoint)
        except NoUsableCheckpoint as error:
            error.hint = f"To start again from the beginning: truss-train push {config}"
            raise
        goes_on = pushing.for_team(runs.starting_from(definition, start), client.remote)
        listener = json_lines if tail and form is Format.JSON else narrator()
        with interruptible(lambda: ["Whether the job was created already, this tells:", "  truss-train jobs"]):
            job = client.run(pushing.push_flow(goes_on, directory), on_event=listener).job
        output.message(f"{jobs.describe(job)} goes on from {start.name} of {jobs.describe(broken_off)}.")
        if tail:
            follow(client, job, form)
        elif form is Format.JSON:
            output.print_json({"training_job": job, "started_from": start})
        else:
            output.messages(ways_on(job))


def best(
    job_id: Job,
    metric: Annotated[str, typer.Option("--metric", metavar="NAME", help="For example eval_loss.")],
    mode: Annotated[
        Direction, typer.Option("--mode", metavar="min|max", help="Whether a smaller or a larger value is better.")
    ],
    project: options.Project = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Print the name of a job's best checkpoint that can be deployed, and why on stderr."""
    from truss_train_core import checkpoints, jobs

    with connect(remote) as client:
        job = client.run(jobs.find(job_id, project=project))
        flow = checkpoints.find_best([job], metric, mode.value, requirement=checkpoints.deployable)
        choice = client.run(flow)
    if form is Format.JSON:
        output.print_json(choice)
    else:
        output.message(f"{choice.checkpoint.checkpoint_id}: {choice.reason}.")
        output.stdout().print(choice.checkpoint.checkpoint_id, soft_wrap=True)


def _check(broken_off: TrainingJob, project_name: str) -> None:
    """Refuse a job that has not ended, and one of another project."""
    from truss_train_core import jobs

    if not broken_off.is_terminal:
        raise BadOptions(
            f"{jobs.describe(broken_off)} has not ended: it is {broken_off.current_status}.",
            hint=f"Stop it first: truss-train stop --job-id {broken_off.id}",
        )
    if broken_off.training_project.name != project_name:
        raise BadOptions(
            f"{jobs.describe(broken_off)} is of project {broken_off.training_project.name!r}, and the file is of "
            f"{project_name!r}."
        )


def _start(client: Client, broken_off: TrainingJob, name: str | None) -> CheckpointRef:
    """The checkpoint to go on from, once all that the job left is copied."""
    from truss_train_core import checkpoints, jobs
    from truss_train_core.runs import CheckpointRef

    ended = client.run(jobs.wait(broken_off))
    if name is None:
        found = client.run(checkpoints.newest_verified([ended]))
        return CheckpointRef(job_id=ended.id, name=found.name, step=found.step)
    surveyed = client.run(checkpoints.survey(ended))
    named = next((each for each in surveyed.checkpoints if each.checkpoint_id == name), None)
    if named is None:
        have = ", ".join(each.checkpoint_id for each in surveyed.checkpoints) or "none"
        raise BadOptions(f"{jobs.describe(ended)} has no checkpoint {name!r}; it has {have}.")
    if problem := client.run(checkpoints.verify(surveyed, named)):
        raise NoUsableCheckpoint(f"{name} of {jobs.describe(ended)} cannot be resumed from: {problem}.")
    return CheckpointRef(job_id=ended.id, name=name, step=checkpoints.step_of(name))
