"""`truss-train sweep`: many trials of one training, a few at a time, poor ones stopped early."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from truss_train_core.cli import config_files, options, output
from truss_train_core.cli.checkpoints import Direction
from truss_train_core.cli.connection import PATIENTLY, connect_async
from truss_train_core.cli.failures import BadOptions, interruptible
from truss_train_core.cli.output import Format

if TYPE_CHECKING:
    from rich.table import Table

    from truss_train_core.definitions import TrainingProject
    from truss_train_core.sweeps import Results, Trial


def sweep(
    config: options.Config,
    space: Annotated[
        str,
        typer.Option(metavar="JSON|FILE", help='What to try, e.g. {"LR": {"low": 0.01, "high": 1}, "HIDDEN": [64]}.'),
    ],
    metric: Annotated[str, typer.Option(metavar="NAME", help="For example eval_loss.")],
    mode: Annotated[Direction, typer.Option(metavar="min|max", help="Whether a smaller or a larger value is better.")],
    samples: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, help="Random trials; 0 for every combination of a space of lists.")
    ] = 0,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Of the random numbers.")] = 0,
    first_rung: Annotated[
        float | None,
        typer.Option(metavar="EPOCHS", help="Compare trials then, and after 3 times as many …; a third goes on."),
    ] = None,
    at_once: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Trials that train side by side.")] = 4,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of the sweep. With the same one, a sweep is taken up again."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw all trials' curves into an SVG.")] = None,
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Try hyperparameters side by side, stop poor trials early, and name the best checkpoint of all.

    A trial gets its parameters as environment variables. It is told by its job's name, so that the same command with
    the same --name submits nothing twice, whatever died meanwhile.
    """
    from truss_train_core import jobs, sweeps

    project, directory = config_files.training_project(config)
    name = name or uuid.uuid4().hex[:8]
    halving = sweeps.Halving(first=first_rung, unit="epoch") if first_rung is not None else None
    objective = sweeps.Objective(metric=metric, mode=mode.value, halving=halving)
    key, tried = jobs.run_key(project.name, name), _space(space)
    if samples:
        trials = sweeps.sample(tried, samples, objective, key=key, seed=seed)
    else:
        trials = sweeps.grid(tried, objective, key=key)
    output.message(f"{len(trials)} trials, {at_once} at once. Take the sweep up again with --name {name}")
    with interruptible(lambda: [f"The trials' jobs go on. The same command with --name {name} waits for them again."]):
        results = asyncio.run(_carry_out(remote, project, directory, trials, at_once))
    if picture and (drawn := sweeps.picture(results)):
        picture.write_text(drawn, encoding="utf-8")
    if form is Format.JSON:
        output.print_json(results)
    else:
        output.stdout().print(_table(results))
        output.stdout().print(sweeps.decision(results), soft_wrap=True)
    results.expect_choice()


def _space(text: str) -> dict[str, Any]:
    """A search space: a JSON object, or what stands in a file of that name."""
    try:
        space = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text("utf-8"))
    except OSError as error:
        raise BadOptions(f"--space is neither a JSON object nor a file: {text}: {error.strerror}.") from error
    except ValueError as error:
        raise BadOptions(f"--space is not JSON: {error}.") from error
    if not isinstance(space, dict):
        raise BadOptions("--space is not a JSON object.", hint="""For example: --space '{"LEARNING_RATE": [0.1]}'""")
    return space


async def _carry_out(
    remote: str, project: TrainingProject, directory: Path, trials: Sequence[Trial], at_once: int
) -> Results:
    """Train all trials, and look at them; one that fails is told of, and fails no other."""
    from truss_train_core import jobs, pushing, runs, sweeps
    from truss_train_core.errors import RunFailed

    turns = asyncio.Semaphore(at_once)

    async def train(trial: Trial) -> None:
        definition = pushing.for_team(trial.project(project), client.remote)
        plan = runs.RunPlan(project=definition, source_dir=directory, verdict=sweeps.verdict(trial), follow_logs=False)
        async with turns:
            output.message(f"{trial.describe()} trains")
            try:
                record = await client.run(
                    runs.run(plan, runs.new_record(plan, jobs.run_key(trial.sweep, trial.number)))
                )
                ended = ": ".join(filter(None, (record.attempt.cause, record.attempt.message)))
            except RunFailed as error:
                ended = error.message
        output.message(f"{trial.describe()} ended: {ended}")

    async with connect_async(remote, deadline=PATIENTLY) as client:
        await asyncio.gather(*(train(trial) for trial in trials))
        found = await client.run(jobs.find_project(project.name))
        return await client.run(sweeps.results(found.id, trials))


def _table(results: Results) -> Table:
    from truss_train_core import sweeps

    rows = sweeps.table(results)
    table = output.table(*(column.upper() for column in rows[0]), gives_way=("WHY",))
    for row in rows:
        table.add_row(*row.values())
    return table
