"""Secrets: kept, listed by name, and never told."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Secret, Team
from truss_train_core.local.server.problems import invalid, missing


def list_secrets(call: Call) -> Answer:
    with call.platform.database.reading() as session:
        team = team_of(call, session)
        secrets = session.scalars(select(Secret).where(Secret.team_id == team.id).order_by(Secret.name))
        return models.SecretsAnswer(secrets=[_answer(secret, team) for secret in secrets])


def upsert_secret(call: Call) -> Answer:
    given = call.body(models.UpsertSecret)
    if not given.name:
        raise invalid("name: a secret needs a name.")
    with call.platform.database.writing() as session:
        team = team_of(call, session)
        secret = _find(session, team, given.name)
        if secret is None:
            secret = Secret(team_id=team.id, name=given.name, created_at=call.platform.now())
            session.add(secret)
        secret.value = given.value
        session.flush()
        return _answer(secret, team)


def delete_secret(call: Call) -> Answer:
    name = call.path["secret_name"]
    with call.platform.database.writing() as session:
        secret = _find(session, team_of(call, session), name)
        if secret is None:
            raise missing("secret", name)
        session.delete(secret)
    return {"name": name}


def team_of(call: Call, session: Session) -> Team:
    """The team that the path names, or the default one.

    Raises:
        Problem: 404.
    """
    team_id = call.path.get("team_id")
    team = session.scalar(select(Team).where(Team.id == team_id if team_id else Team.is_default))
    if team is None:
        raise missing("team", str(team_id), session.scalars(select(Team.id)))
    return team


def _find(session: Session, team: Team, name: str) -> Secret | None:
    return session.scalar(select(Secret).where(Secret.team_id == team.id, Secret.name == name))


def _answer(secret: Secret, team: Team) -> models.Secret:
    return models.Secret.model_validate(
        {"id": secret.id, "name": secret.name, "created_at": secret.created_at, "team_name": team.name}
    )


ROUTES = (
    Route("GET", "/v1/secrets", list_secrets),
    Route("POST", "/v1/secrets", upsert_secret),
    Route("DELETE", "/v1/secrets/{secret_name}", delete_secret),
    Route("GET", "/v1/teams/{team_id}/secrets", list_secrets),
    Route("POST", "/v1/teams/{team_id}/secrets", upsert_secret),
    Route("DELETE", "/v1/teams/{team_id}/secrets/{secret_name}", delete_secret),
)
