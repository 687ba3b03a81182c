"""How much there is to train on, and who may use how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from truss_train_core.api import models
from truss_train_core.definitions import Accelerator
from truss_train_core.local.server.calls import Answer, Call, Route
from truss_train_core.local.server.database import Job, Project, Team, TeamLimit
from truss_train_core.local.server.lifecycle import STARTED
from truss_train_core.local.server.problems import invalid, missing
from truss_train_core.local.server.scheduler import CPU, pool_size

_Usage: TypeAlias = Mapping[tuple[str, str, str], int]
"""What is in use, by team, pool and availability model."""


class _SetLimit(BaseModel):
    team_id: str
    gpu_type: str
    max_gpus: int = Field(ge=0, le=2**31 - 1)


def get_capacity(call: Call) -> Answer:
    """The GPU types that were given a capacity, and those in use; and the limits of teams."""
    with call.platform.database.reading() as session:
        usage = _usage(session)
        limits = session.execute(select(TeamLimit, Team).join(Team, Team.id == TeamLimit.team_id))
        teams = [_team_capacity(limit, team, usage) for limit, team in limits]
    capacity = call.platform.capacity
    pools = sorted({*capacity, *(pool for _, pool, _ in usage)} - {CPU})
    return models.CapacityAnswer(
        gpu_capacities=[
            models.GpuCapacity(
                gpu_type=pool,
                baseline=pool_size(pool, capacity),
                limit=pool_size(pool, capacity),
                **_counts(usage, pool),
            )
            for pool in pools
        ],
        team_gpu_capacities=teams,
    )


def set_team_capacity(call: Call) -> Answer:
    """Limit how many GPUs of a type a team's jobs use at once; what runs already goes on."""
    wanted = call.body(_SetLimit)
    with call.platform.database.writing() as session:
        team = session.get(Team, wanted.team_id)
        if team is None:
            raise missing("team", wanted.team_id, session.scalars(select(Team.id)))
        gpu = _gpu_type(wanted.gpu_type)
        limit = TeamLimit(
            team_id=team.id, gpu_type=gpu.value, max_gpus=wanted.max_gpus, updated_at=call.platform.now()
        )  # fmt: skip
        session.merge(limit)
        return models.TeamCapacityAnswer(team_gpu_capacity=_team_capacity(limit, team, _usage(session)))


def _gpu_type(text: str) -> Accelerator:
    try:
        return Accelerator(text.replace("-", "_"))  # the API writes A100-40GB, definitions A100_40GB
    except ValueError:
        raise invalid(f"gpu_type: {text!r} is not one of {', '.join(gpu.value for gpu in Accelerator)}.") from None


def _team_capacity(limit: TeamLimit, team: Team, usage: _Usage) -> models.TeamGpuCapacity:
    return models.TeamGpuCapacity(
        team_id=team.id,
        team_name=team.name,
        gpu_type=limit.gpu_type,
        baseline=0,
        limit=limit.max_gpus,
        **_counts({key: amount for key, amount in usage.items() if key[0] == team.id}, limit.gpu_type),
    )


def _usage(session: Session) -> _Usage:
    by = (Project.team_id, Job.pool, Job.availability_model)
    held = select(*by, func.sum(Job.demand)).join(Project, Project.id == Job.project_id)
    rows = session.execute(held.where(Job.status.in_(STARTED)).group_by(*by))
    return {(team, pool, availability): amount for team, pool, availability, amount in rows}


def _counts(usage: _Usage, pool: str) -> dict[str, int]:
    spot = sum(amount for (_, of, availability), amount in usage.items() if (of, availability) == (pool, "spot"))
    both = sum(amount for (_, of, _), amount in usage.items() if of == pool)
    return {"usage_count": both, "dedicated_usage_count": both - spot, "spot_usage_count": spot}


ROUTES = (
    Route("GET", "/v1/training/capacity", get_capacity),
    Route("PATCH", "/v1/training/capacity", set_team_capacity),
)
