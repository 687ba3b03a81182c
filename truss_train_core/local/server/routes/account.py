"""Who one is, the teams, and the kinds of machines."""

from __future__ import annotations

from sqlalchemy import select

from truss_train_core.api import models
from truss_train_core.local.server import answers
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Team
from truss_train_core.local.server.instances import catalogue
from truss_train_core.local.server.problems import missing


def who_am_i(_: Call) -> Answer:
    return models.UserInfo(user_id="local", email=answers.USER_EMAIL, name="Local user", workspace_name="local")


def list_teams(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        teams = [_team(team) for team in session.scalars(select(Team).order_by(Team.created_at))]
    wanted = call.query.get("name")
    return models.TeamsAnswer(teams=[team for team in teams if wanted in (None, team.name)])


def get_team(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        team = session.get(Team, call.path["team_id"])
        if team is None:
            raise missing("team", call.path["team_id"])
        return _team(team)


def _team(team: Team) -> models.Team:
    return models.Team.model_validate(
        {"id": team.id, "name": team.name, "created_at": team.created_at, "default": team.is_default}
    )


def list_instance_types(_: Call) -> Answer:
    return models.InstanceTypesAnswer(instance_types=list(catalogue().values()))


ROUTES = (
    Route("GET", "/v1/users/me", who_am_i),
    Route("GET", "/v1/teams", list_teams),
    Route("GET", "/v1/teams/{team_id}", get_team),
    Route("GET", "/v1/instance_types", list_instance_types),
)
