"""The whole story as a flow: train, resume where it breaks off, choose the best checkpoint, deploy it, promote it."""

# No `from __future__ import annotations` here: Prefect evaluates a flow's annotations when it validates parameters, and
# TrainingRun, which loads the core, is imported only by what runs.

from typing import TYPE_CHECKING, Any, Literal

from prefect import flow

from prefect_truss_train import tasks
from prefect_truss_train.cancellation import with_remote_cancellation

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun


@with_remote_cancellation
@flow(name="train-and-deploy", persist_result=True)
def train_and_deploy(
    config: str,
    *,
    source_dir: str | None = None,
    variables: dict[str, str] | None = None,
    begin_from: tuple[Any, ...] | list[Any] = (),
    credentials: str | None = None,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    deploy_config: str | None = None,
    question: dict[str, Any] | None = None,
    environment: str | None = None,
    max_failures: int = 2,
    max_preemptions: int = 10,
    budget: dict[str, Any] | None = None,
    approval_timeout: float | None = None,
    dataset: str | None = None,
    labels: dict[str, str] | None = None,
    follow_logs: bool = True,
) -> "TrainingRun":
    """Train, resume where it breaks off, choose the best checkpoint, deploy it, ask it.

    Killed at any moment and retried, it takes up the same jobs and the same deployment; cancelled, it stops its job.

    Args:
        config: path of a config.py.
        source_dir: the working directory; by default that of the file.
        variables: environment variables for the job beyond those of the definition. Not for secrets.
        begin_from: checkpoints that the run begins from, as `find_served_checkpoint` and `rank_checkpoints` return.
        credentials: name of a `BasetenCredentials` block; by default the default remote where the flow runs.
        metric: by which the best checkpoint is chosen; without, the newest is.
        mode: "min" for losses, "max" for scores.
        deploy_config: path of a config.py that says how to deploy; without, nothing is deployed.
        question: what to ask the deployed model.
        environment: in which the deployment is to answer in the end, e.g. "production"; without, it is not promoted.
        max_failures: how many failed attempts are followed by another one.
        max_preemptions: the same for attempts that lost their machines.
        budget: what all attempts may use, and by when: the fields of `truss_train_core.runs.Budget`, e.g.
            `{"cost": 200, "price": {"dedicated": 6.5, "spot": 2.6}}`.
        approval_timeout: seconds that a person has to approve of the chosen checkpoint before it is put into service:
            before it is promoted, or deployed where it is not promoted. Without, nobody is asked.
        dataset: address of what is trained on, for Prefect's assets; the training itself does not see it.
        labels: what the deployment came of, e.g. the version of a dataset; see `deployments.with_labels`.
        follow_logs: whether the jobs' logs go into the flow run's.

    Raises:
        RunFailed, BudgetSpent: the budgets are used up. Retried, the flow does not spend more than they allow: raise
            them, or start a new flow run.
        NoUsableCheckpoint, DefinitionError, DeploymentFailed: the training is done, and goes to no waste: retry the
            flow run when the cause is gone.
    """
    from prefect_truss_train import artifacts
    from prefect_truss_train.approval import ask_for_approval
    from prefect_truss_train.assets import record_assets

    run = tasks.submit_training_job(
        config,
        source_dir=source_dir,
        environment=variables,
        begin_from=begin_from,
        credentials=credentials,
        budget=budget,
    )
    run = _train(run, max_failures=max_failures, max_preemptions=max_preemptions, follow_logs=follow_logs)
    if metric or deploy_config:
        run = tasks.choose_checkpoint(run, metric, mode, deploy_config=deploy_config)
    if deploy_config:
        if approval_timeout is not None and environment is None:
            ask_for_approval(run, timeout=approval_timeout)
        run = tasks.wait_for_deployment(tasks.deploy_checkpoint(run, labels=labels), question=question)
    if deploy_config and environment:
        if approval_timeout is not None:
            ask_for_approval(run, timeout=approval_timeout)
        tasks.promote_deployment(run, environment)
    record_assets(run, dataset=dataset)
    artifacts.show_summary(run)
    return run


def _train(run: "TrainingRun", *, max_failures: int, max_preemptions: int, follow_logs: bool) -> "TrainingRun":
    """Wait, and resume, until an attempt has completed."""
    from prefect_truss_train.training_run import TrainingRun
    from truss_train_core.errors import JobFailed, JobNotFound

    while True:
        state = tasks.wait_for_training_job(run, follow_logs=follow_logs, return_state=True)
        outcome = state.result(raise_on_failure=False)
        if isinstance(outcome, TrainingRun):
            return outcome
        if not isinstance(outcome, (JobFailed, JobNotFound)):
            raise outcome
        run = tasks.resume_training_job(run, max_failures=max_failures, max_preemptions=max_preemptions)
