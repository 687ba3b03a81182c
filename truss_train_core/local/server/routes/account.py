"""Who one is, the teams, the kinds of machines, and how much of them there is."""

from __future__ import annotations

from sqlalchemy import func, select

from truss_train_core.api import models
from truss_train_core.local.server import answers
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Job, Team
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.lifecycle import STARTED
from truss_train_core.local.server.problems import missing
from truss_train_core.local.server.scheduler import CPU, pool_size


def who_am_i(_: Call) -> Answer:
    return answers.UserAnswer(user_id="local", email=answers.USER_EMAIL, name="Local user", workspace_name="local")


def list_teams(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        teams = [_team(team) for team in session.scalars(select(Team).order_by(Team.created_at))]
    wanted = call.query.get("name")
    return answers.TeamsAnswer(teams=[team for team in teams if wanted in (None, team.name)])


def get_team(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        team = session.get(Team, call.path["team_id"])
        if team is None:
            raise missing("team", call.path["team_id"])
        return _team(team)


def _team(team: Team) -> answers.TeamAnswer:
    return answers.TeamAnswer(id=team.id, name=team.name, created_at=team.created_at, default=team.is_default)


def list_instance_types(_: Call) -> Answer:
    return models.InstanceTypesAnswer(instance_types=list(catalogue().values()))


def training_capacity(call: Call) -> Answer:
    """GPUs by type, and how many are in use; the types that were given a capacity, and those in use."""
    with call.platform.database.reading() as session:
        rows = session.execute(
            select(Job.pool, Job.availability_model, func.sum(Job.demand))
            .where(Job.status.in_(STARTED), Job.pool != CPU)
            .group_by(Job.pool, Job.availability_model)
        )
        used = {(pool, availability): amount for pool, availability, amount in rows}
    capacity = call.platform.capacity
    pools = sorted({pool for pool in capacity if pool != CPU} | {pool for pool, _ in used})
    return {
        "gpu_capacities": [
            {
                "gpu_type": pool,
                "baseline": pool_size(pool, capacity),
                "limit": pool_size(pool, capacity),
                "usage_count": used.get((pool, "dedicated"), 0) + used.get((pool, "spot"), 0),
                "dedicated_usage_count": used.get((pool, "dedicated"), 0),
                "spot_usage_count": used.get((pool, "spot"), 0),
            }
            for pool in pools
        ],
        "team_gpu_capacities": [],
    }


ROUTES = (
    Route("GET", "/v1/users/me", who_am_i),
    Route("GET", "/v1/teams", list_teams),
    Route("GET", "/v1/teams/{team_id}", get_team),
    Route("GET", "/v1/instance_types", list_instance_types),
    Route("GET", "/v1/training/capacity", training_capacity),
)
