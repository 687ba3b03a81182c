"""`truss-train capacity …`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from truss_train_core.cli import options, output
from truss_train_core.cli.connection import connect
from truss_train_core.cli.failures import BadOptions
from truss_train_core.cli.output import Format

if TYPE_CHECKING:
    from rich.table import Table

    from truss_train_core.api.client import Client
    from truss_train_core.api.models import GpuCapacity, Team

app = typer.Typer(no_args_is_help=True, help="How many GPUs there are to train on, and who may use how many.")


@app.command()
def view(remote: options.Remote = options.DEFAULT_REMOTE, form: options.Output = Format.TEXT) -> None:
    """Show the GPUs of the organization and of its teams: how many, and how many in use."""
    from truss_train_core.api import endpoints

    with connect(remote) as client:
        answer = client.send(endpoints.get_capacity())
    if form is Format.JSON:
        output.print_json(answer)
        return
    rows: list[tuple[str, GpuCapacity]] = [("", each) for each in answer.gpu_capacities]
    rows += [(each.team_name, each) for each in answer.team_gpu_capacities]
    if rows:
        output.stdout().print(_table(rows))
    else:
        output.message("There are no GPUs, and no limits.")


@app.command()
def update(
    team: Annotated[str, typer.Option("--team", metavar="NAME", help="Team, by name or id.")],
    gpu_type: Annotated[str, typer.Option("--gpu-type", metavar="TYPE", help="For example H100.")],
    capacity: Annotated[
        int, typer.Option("--capacity", metavar="NUMBER", min=0, help="GPUs that the team's jobs use at once, at most.")
    ],
    remote: options.Remote = options.DEFAULT_REMOTE,
    form: options.Output = Format.TEXT,
) -> None:
    """Limit how many GPUs of a type a team may use at once. For admins of the organization."""
    from truss_train_core.api import endpoints

    with connect(remote) as client:
        found = _team(client, team)
        limit = client.send(endpoints.set_team_capacity(found.id, gpu_type, capacity)).team_gpu_capacity
    if form is Format.JSON:
        output.print_json(limit)
    else:
        output.message(f"Team {limit.team_name} may use {limit.limit} {limit.gpu_type} at once.")


def _team(client: Client, name: str) -> Team:
    from truss_train_core.api import endpoints

    teams = client.send(endpoints.list_teams()).teams
    found = next((each for each in teams if name in (each.id, each.name)), None)
    if found is None:
        have = ", ".join(each.name for each in teams)
        raise BadOptions(f"There is no team {name!r}.", hint=f"There is {have}." if have else None)
    return found


def _table(rows: list[tuple[str, GpuCapacity]]) -> Table:
    figures = ("BASELINE", "LIMIT", "IN USE", "DEDICATED", "SPOT")
    table = output.table("GPU", "TEAM", *figures, right=figures)
    for team, each in rows:
        counts = (each.baseline, each.limit, each.usage_count, each.dedicated_usage_count, each.spot_usage_count)
        table.add_row(each.gpu_type, team, *map(str, counts))
    return table
