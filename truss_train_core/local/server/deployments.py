"""The life of a deployment: started, watched, promoted, put to rest, deleted.

As with jobs, `advance` moves everything that can move and keeps nothing in memory. A row says what is wanted; the
process's state says what is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from truss_train_core.api.models import DeploymentStatus
from truss_train_core.errors import LocalPlatformError
from truss_train_core.local.joblogs import LogWriter
from truss_train_core.local.runner import ServerPhase, ServerSpec, ServerState
from truss_train_core.local.server.database import Deployment, Environment, Model
from truss_train_core.local.server.job_specs import resolve_environment
from truss_train_core.local.server.platform import Platform
from truss_train_core.local.server.problems import Problem, invalid, missing
from truss_train_core.local.server.references import stored_folders
from truss_train_core.local.server.truss_configs import Server

PRODUCTION = "production"
STATUS: dict[ServerPhase, str] = {
    "building": DeploymentStatus.BUILDING,
    "deploying": DeploymentStatus.DEPLOYING,
    "loading_model": DeploymentStatus.LOADING_MODEL,
    "active": DeploymentStatus.ACTIVE,
    "inactive": DeploymentStatus.INACTIVE,
    "deploy_failed": DeploymentStatus.DEPLOY_FAILED,
    "failed": DeploymentStatus.FAILED,
}
"""What the API calls the phases of a server process."""
_ENDED = ("inactive", "deploy_failed", "failed")
_HAS_FAILED = (DeploymentStatus.DEPLOY_FAILED, DeploymentStatus.FAILED)
_ON_THE_WAY = (DeploymentStatus.BUILDING, DeploymentStatus.DEPLOYING, DeploymentStatus.LOADING_MODEL)
AT_REST = (DeploymentStatus.INACTIVE, DeploymentStatus.SCALED_TO_ZERO, *_HAS_FAILED)


# ---------------------------------------------------------------- finding


def find_model(session: Session, model_id: str) -> Model:
    """A model.

    Raises:
        Problem: 404.
    """
    model = session.get(Model, model_id)
    if model is None or model.deleted:
        raise missing("model", model_id)
    return model


def find_deployment(session: Session, model_id: str, name: str) -> Deployment:
    """A deployment by its id, or the one in production by "production"; there is never one in "development".

    Raises:
        Problem: 404.
    """
    find_model(session, model_id)
    if name == "development":
        raise Problem(404, f"Model {model_id} has no development deployment: checkpoints are not deployed as such.")
    if name == PRODUCTION:
        return deployment_in(session, model_id, PRODUCTION)
    found = session.scalar(
        select(Deployment).where(Deployment.model_id == model_id, Deployment.id == name, ~Deployment.deleted)
    )
    if found is None:
        raise missing("deployment", name)
    return found


def find_environment(session: Session, model_id: str, name: str) -> Environment:
    """An environment of a model; every model has "production".

    Raises:
        Problem: 404.
    """
    model = find_model(session, model_id)
    found = session.get(Environment, (model_id, name))
    if found is None and name == PRODUCTION:
        found = Environment(model_id=model_id, name=PRODUCTION, created_at=model.created_at)
    if found is None:
        raise missing("environment", name)
    return found


def deployment_in(session: Session, model_id: str, environment: str) -> Deployment:
    """The deployment that answers in an environment.

    Raises:
        Problem: 404: there is none.
    """
    current = find_environment(session, model_id, environment).deployment_id
    if current is None:
        raise Problem(404, f"Nothing was promoted to {environment!r} of model {model_id} yet.")
    return find_deployment(session, model_id, current)


# ---------------------------------------------------------------- asking; with `platform.lifecycle` held


def activate(deployment: Deployment) -> None:
    """Serve a deployment again that rests or has failed; one that is being stopped is served again after that.

    Raises:
        Problem: 400: nothing on this machine can serve it.
    """
    if deployment.server is None:
        raise invalid(f"Deployment {deployment.id} cannot be served on this machine; its log says why.")
    if deployment.status in AT_REST:
        waking = deployment.status == DeploymentStatus.SCALED_TO_ZERO
        deployment.wanted, deployment.started = DeploymentStatus.ACTIVE, False
        deployment.status = DeploymentStatus.WAKING_UP if waking else DeploymentStatus.BUILDING
    elif deployment.status == DeploymentStatus.DEACTIVATING:
        deployment.wanted = DeploymentStatus.ACTIVE


def retry(deployment: Deployment) -> str | None:
    """Serve a deployment again that has failed; where that is not possible, say why."""
    if deployment.server is None:
        return "It cannot be served on this machine; its log says why."
    if deployment.status not in _HAS_FAILED:
        return f"It is {deployment.status}: only a deployment that has failed is retried."
    activate(deployment)
    return None


def rest(platform: Platform, deployment: Deployment, wanted: str = DeploymentStatus.INACTIVE) -> None:
    """End a deployment's process, and let it be INACTIVE or SCALED_TO_ZERO."""
    directory = platform.data.deployment(deployment.id)
    if deployment.status not in AT_REST and directory.exists():
        platform.serving.stop(directory)
        deployment.status, deployment.wanted = DeploymentStatus.DEACTIVATING, wanted
    elif deployment.status not in _HAS_FAILED:
        deployment.status = deployment.wanted = wanted


def promote(
    platform: Platform, session: Session, environment: Environment, deployment: Deployment, *, rest_former: bool
) -> None:
    """Let a deployment answer in an environment. The former one is scaled to zero, unless it is wanted elsewhere.

    Raises:
        Problem: 400: it does not serve.
    """
    if deployment.status not in DeploymentStatus.READY:
        raise invalid(f"Deployment {deployment.id} is {deployment.status}; it can be promoted when it is ACTIVE.")
    former, environment.deployment_id = environment.deployment_id, deployment.id
    session.add(environment)
    session.flush()
    if deployment.status == DeploymentStatus.SCALED_TO_ZERO:
        activate(deployment)
    if rest_former and former:
        _rest_unless_wanted(platform, session, environment.model_id, former)


def delete_environment(platform: Platform, session: Session, environment: Environment) -> None:
    """Remove an environment; what answered there is scaled to zero, unless it is wanted elsewhere (OpenAPI)."""
    session.delete(environment)
    session.flush()
    if environment.deployment_id:
        _rest_unless_wanted(platform, session, environment.model_id, environment.deployment_id)


def _rest_unless_wanted(platform: Platform, session: Session, model_id: str, deployment_id: str) -> None:
    wanted = session.scalar(select(Environment.name).where(Environment.deployment_id == deployment_id))
    if wanted is None:
        rest(platform, find_deployment(session, model_id, deployment_id), DeploymentStatus.SCALED_TO_ZERO)


def delete_deployment(platform: Platform, session: Session, deployment: Deployment) -> None:
    """Hide a deployment and end its process; its files go when that has ended.

    Raises:
        Problem: 400: it answers in an environment.
    """
    environment = session.scalar(select(Environment.name).where(Environment.deployment_id == deployment.id))
    if environment:
        raise invalid(f"Deployment {deployment.id} answers in {environment!r}. Promote another one there first.")
    rest(platform, deployment)
    deployment.deleted = True


def delete_model(platform: Platform, session: Session, model: Model) -> None:
    """Remove a model's name and environments, and its deployments as `delete_deployment` does."""
    for environment in session.scalars(select(Environment).where(Environment.model_id == model.id)):
        session.delete(environment)
    for deployment in session.scalars(select(Deployment).where(Deployment.model_id == model.id)):
        rest(platform, deployment)
        deployment.deleted = True
    model.deleted = True


# ---------------------------------------------------------------- moving on


def advance(platform: Platform) -> None:
    """Start what is wanted, and note how the started ones fare."""
    with platform.database.reading() as session:
        open_ones = list(session.scalars(select(Deployment).where(Deployment.status.not_in(AT_REST))))
    for deployment in open_ones:
        if deployment.started or deployment.status == DeploymentStatus.DEACTIVATING:
            _watch_one(platform, deployment)
        else:
            with platform.lifecycle:
                _start_one(platform, deployment.id)


def _start_one(platform: Platform, deployment_id: str) -> None:
    with platform.database.writing() as session:
        deployment = session.scalars(select(Deployment).where(Deployment.id == deployment_id)).one()
        if deployment.started or deployment.wanted != DeploymentStatus.ACTIVE:
            return
        try:
            platform.serving.start(_server_spec(platform, session, deployment))
            deployment.started = True
        except (Problem, LocalPlatformError, OSError) as error:
            say(platform, deployment_id, f"The deployment could not be started: {error}")
            deployment.status = DeploymentStatus.DEPLOY_FAILED


def _watch_one(platform: Platform, deployment: Deployment) -> None:
    state = _state(platform, deployment.id)
    status, started = STATUS[state.phase], deployment.started
    if deployment.wanted != DeploymentStatus.ACTIVE:
        status = deployment.wanted if state.phase in _ENDED else DeploymentStatus.DEACTIVATING
    elif deployment.status == DeploymentStatus.DEACTIVATING:  # and activated meanwhile: served again when it has ended
        started = state.phase not in _ENDED
        status = DeploymentStatus.DEACTIVATING if started else DeploymentStatus.BUILDING
    elif deployment.status == DeploymentStatus.WAKING_UP and status in _ON_THE_WAY:
        status = DeploymentStatus.WAKING_UP
    if status == deployment.status:
        return
    with platform.database.writing() as session:
        current = session.scalars(select(Deployment).where(Deployment.id == deployment.id)).one()
        if (current.wanted, current.started) == (deployment.wanted, deployment.started):
            current.status, current.started = status, started


def _state(platform: Platform, deployment_id: str) -> ServerState:
    try:
        return platform.serving.status(platform.data.deployment(deployment_id))
    except (LocalPlatformError, OSError) as error:
        return ServerState.model_validate(
            {"phase": "failed", "updated_at": platform.now(), "error_message": str(error)}
        )


def weights_root(platform: Platform, deployment_id: str) -> Path:
    """Where a deployment's checkpoints are put in place."""
    return platform.data.deployment(deployment_id) / "weights"


def say(platform: Platform, deployment_id: str, text: str) -> None:
    """Write why a deployment failed where people look for it: into its log."""
    writer = LogWriter(platform.data.deployment(deployment_id), 0)
    try:
        writer.notice(text, "ERROR")
    finally:
        writer.close()


def _server_spec(platform: Platform, session: Session, deployment: Deployment) -> ServerSpec:
    model = session.get_one(Model, deployment.model_id)
    server = Server.model_validate(deployment.server)
    environment, secrets = resolve_environment(session, model.team_id, server.environment)
    return ServerSpec(
        deployment_id=deployment.id, model_id=model.id, model_name=model.name,
        directory=platform.data.deployment(deployment.id), weights_root=weights_root(platform, deployment.id),
        weights=_weights(platform, deployment.weights), start_command=server.start_command,
        readiness_path=server.readiness_path, predict_path=server.predict_path,
        environment=environment, secrets=secrets, python=platform.python,
        sandboxed=platform.sandboxed,
    )  # fmt: skip


def _weights(platform: Platform, weights: list[dict[str, Any]]) -> tuple[tuple[Path, str], ...]:
    found = []
    for one in weights:
        project_id, job_id, name = one["project_id"], one["job_id"], one["checkpoint_name"]
        folders = stored_folders(platform.data, project_id, job_id, name)
        if not folders:
            raise invalid(f"Checkpoint {name!r} of job {job_id} is gone.")
        store = platform.data.checkpoints(project_id, job_id)
        found += [(folder, f"{job_id}/{folder.relative_to(store)}") for folder in folders]
    return tuple(found)
