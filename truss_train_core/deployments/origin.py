"""From a model back to the checkpoint that it answers with."""

from __future__ import annotations

from truss_train_core.api import endpoints
from truss_train_core.api.flows import Flow, send
from truss_train_core.api.models import Deployment
from truss_train_core.deployments.deploying import describe
from truss_train_core.deployments.promotion import PRODUCTION
from truss_train_core.deployments.requests import served_by
from truss_train_core.errors import NotFound, NoUsableCheckpoint


def answering(model_name: str, environment: str = PRODUCTION) -> Flow[Deployment | None]:
    """What answers in an environment of a model; None where there is no such model, or nothing answers there yet.

    Raises:
        NotFound: the model has no such environment.
        ApiError, Unreachable: looking was not possible.
    """
    models = [each for each in (yield from send(endpoints.list_models())).models if each.name == model_name]
    if not models:
        return None
    model = min(models, key=lambda each: each.created_at)
    try:
        return (yield from send(endpoints.get_environment(model.id, environment))).current_deployment
    except NotFound:
        if environment == PRODUCTION:  # which is there from the first promotion on
            return None
        raise


def checkpoint_of(deployment: Deployment) -> Flow[tuple[str, str]]:
    """The one checkpoint that a deployment serves: its job's id and its name, from the deployment's configuration.

    Raises:
        NoUsableCheckpoint: it serves several, one of Loops, or none that was trained here.
        NotFound: the deployment was deleted.
        ApiError, Unreachable: looking was not possible.
    """
    answer = yield from send(endpoints.get_deployment_config(deployment.model_id, deployment.id))
    served = sorted(served_by(answer.config))
    if len(served) == 1 and served[0][0]:
        return served[0]
    named = ", ".join(f"{name} of {job_id}" if job_id else name for job_id, name in served) or "no checkpoint of a job"
    raise NoUsableCheckpoint(f"{describe(deployment)} serves {named}, where one checkpoint of a training job is meant.")
