"""The tasks. Each takes a `TrainingRun`, drives one flow of the core, and returns where the run stands then.

    run = submit_training_job("training/config.py", credentials="baseten")
    run = wait_for_training_job(run)
    run = choose_checkpoint(run, "eval_loss", "min")

Their results persist, and the names of jobs carry the flow run's key: a flow run that is retried, or killed anywhere
and retried, takes up the same jobs and deployments. Transient errors of the API do not end them: the core waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefect import task
from prefect.cache_policies import DEFAULT, NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from prefect_truss_train import keys

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun
    from truss_train_core import Flow
    from truss_train_core.definitions import DeployCheckpointsConfig, TrainingProject
    from truss_train_core.deployments import Promoted
    from truss_train_core.jobs import TrainingJob
    from truss_train_core.runs import Budget, Phase, RunRecord

CheckpointMode = Literal["min", "max"]


def _may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure is one that a retry may not meet: the API's silence, not a job's failure."""
    from truss_train_core import errors

    error = state.result(raise_on_failure=False)
    passing = (errors.Unreachable, errors.AnswerLost, errors.UploadError, errors.ServerError, errors.RateLimited)
    return isinstance(error, passing)


OPTIONS: dict[str, Any] = {
    "tags": {"truss-train"},
    "cache_policy": DEFAULT,
    "persist_result": True,
    "retries": 2,
    "retry_delay_seconds": 30,
    "retry_condition_fn": _may_pass,
}


@task(task_run_name="submit-training-job", **OPTIONS)
def submit_training_job(
    config: str | Path | TrainingProject,
    *,
    source_dir: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    credentials: str | None = None,
    budget: Budget | Mapping[str, Any] | None = None,
) -> TrainingRun:
    """Submit a training job exactly once per flow run.

    Two calls with the same inputs in one flow run, its subflows and its retries included, are one job.

    Args:
        config: path of a config.py, or a definition.
        source_dir: the working directory; by default that of the file, or the current one for a definition.
        environment: environment variables for the job beyond those of the definition. Not for secrets: those are
            named in the definition, by `SecretReference`.
        credentials: name of a `BasetenCredentials` block; by default the default remote where the flow runs.
        budget: what all attempts of the run may use, and by when, for the tasks that wait and resume as well: a
            `truss_train_core.runs.Budget`, or its fields.

    Raises:
        ConfigFileError, PackageError, RemoteError: nothing was created.
        BudgetSpent: its deadline has passed. Nothing was created.
        TrussTrainError: anything else; a retry is safe.
    """
    from prefect_truss_train.training_run import TrainingRun, load_training
    from truss_train_core import runs

    project, directory = load_training(config, source_dir, environment or {})
    inputs = config if isinstance(config, (str, Path)) else config.model_dump_json()
    key = keys.run_key(inputs, source_dir, sorted((environment or {}).items()))
    limits = runs.Budget.model_validate({} if budget is None else budget)
    run = TrainingRun(
        record=runs.new_record(runs.RunPlan(project=project, source_dir=directory, budget=limits), key),
        project=project,
        source_dir=directory,
        credentials=credentials,
        budget=limits,
    )
    return _do(run, until="training")


@task(task_run_name="wait-for-{run.job_name}", **OPTIONS)
def wait_for_training_job(run: TrainingRun, *, timeout: float | None = None, follow_logs: bool = True) -> TrainingRun:
    """Wait until the job of a run has completed; stop it once the run has spent its budget.

    Args:
        run: from `submit_training_job` or `resume_training_job`.
        timeout: seconds after which to give up, None for never. The job goes on.
        follow_logs: whether the job's log goes into the flow run's, and its progress into an artifact. Without, all
            waits of a process together ask one question per interval, however many they are.

    Raises:
        JobFailed: it ended otherwise. `resume_training_job` goes on from its newest checkpoint.
        BudgetSpent: it was stopped; or could not be, and the message says that.
        WaitTimeout: it goes on and may cost money.
        FlowRunCancelled: the flow run was cancelled meanwhile.
    """
    from prefect_truss_train import artifacts
    from prefect_truss_train.telling import Teller
    from truss_train_core import Limits, checkpoints, jobs, runs

    client, teller = run.client(), Teller(run)
    limits = Limits(timeout=timeout)
    job = client.run(jobs.fetch(run.project_id, run.job_id, outage=limits.outage), on_event=teller)
    used = client.run(runs.usage(run.record, without=job.id)) if run.budget else runs.Usage()

    def wait(*meters: jobs.Companion) -> Flow[TrainingJob]:
        if not follow_logs:
            return jobs.wait(job, limits=limits, companions=meters)
        watches = (jobs.TwinWatch(), checkpoints.CheckpointWatch(), artifacts.Progress(run))
        return jobs.follow(job, limits=limits, companions=(*watches, *meters))

    try:
        jobs.expect_completed(client.run(runs.within(run.budget, used, job, wait), on_event=teller))
        return _do(run, until="done")
    finally:
        artifacts.show_report(run)


@task(task_run_name="resume-after-{run.job_name}", **OPTIONS)
def resume_training_job(run: TrainingRun, *, max_failures: int = 2, max_preemptions: int = 10) -> TrainingRun:
    """Submit the next attempt of a run whose job ended otherwise than completed.

    It starts from the newest checkpoint of the run that can be verified, named and pinned.

    Args:
        run: as it was given to `wait_for_training_job`.
        max_failures: how many failed attempts are followed by another one.
        max_preemptions: the same for attempts that lost their machines.

    Raises:
        RunFailed: no attempt follows: there were too many, a person stopped the job, or it failed twice at the same
            place.
        BudgetSpent: nothing is left of the run's budget, or its deadline has passed.
    """
    return _do(run, until="training", max_failures=max_failures, max_preemptions=max_preemptions)


@task(task_run_name="choose-checkpoint-of-{run.job_name}", **OPTIONS)
def choose_checkpoint(
    run: TrainingRun,
    metric: str | None = None,
    mode: CheckpointMode | None = None,
    *,
    log_pattern: str | None = None,
    deploy_config: str | Path | DeployCheckpointsConfig | None = None,
) -> TrainingRun:
    """Choose the best checkpoint of all attempts of a run, and show the table that the choice was made from.

    Args:
        run: whose job has completed.
        metric: by which one, e.g. "eval_loss"; without, the newest checkpoint is chosen.
        mode: "min" for losses, "max" for scores.
        log_pattern: a regular expression that finds the metric in the log, where the checkpoints do not hold it.
        deploy_config: what will be deployed: then only checkpoints that can be deployed are considered.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    from prefect_truss_train import artifacts
    from truss_train_core import runs

    if (metric is None) != (mode is None):
        raise ValueError("metric and mode go together")
    wishes: dict[str, Any] = {}
    if metric and mode:
        wishes["best"] = runs.Best(metric=metric, mode=mode, log_pattern=log_pattern)
    if deploy_config:
        run = run.to_be_deployed(deploy_config)
    run = _do(run, begin="choosing", until="deploying", **wishes)
    artifacts.show_choice(run, wishes.get("best"))
    return run


@task(task_run_name="deploy-checkpoint-of-{run.job_name}", **{**OPTIONS, "cache_policy": NO_CACHE})
def deploy_checkpoint(
    run: TrainingRun,
    deploy_config: str | Path | DeployCheckpointsConfig | None = None,
    *,
    labels: Mapping[str, str] | None = None,
) -> TrainingRun:
    """Deploy the chosen checkpoint exactly once: a live deployment of it is adopted.

    Args:
        run: from `choose_checkpoint`; the newest checkpoint is deployed where none was chosen.
        deploy_config: path of a config.py, or a definition; may be left out where `choose_checkpoint` was given it.
            Checkpoints in it are replaced by the chosen one.
        labels: what the deployment came of, e.g. the version of a dataset; see `deployments.with_labels`. A deployment
            that is adopted keeps its own.

    Raises:
        DefinitionError: it lacks something, or no instance type fits. Nothing was created.
    """
    from truss_train_core import deployments

    if deploy_config:
        run = run.to_be_deployed(deploy_config)
    if run.deployment is None:
        raise ValueError("deploy_config is missing, here and in choose_checkpoint")
    if labels:
        run = run.to_be_deployed(deployments.with_labels(run.deployment, labels))
    return _do(run, begin="deploying" if run.record.choice else "choosing", until="serving")


@task(task_run_name="wait-for-deployment-of-{run.job_name}", **OPTIONS)
def wait_for_deployment(
    run: TrainingRun, *, timeout: float = 3600.0, question: Mapping[str, Any] | None = None, path: str = "predict"
) -> TrainingRun:
    """Wait until a deployment serves; scaled to zero counts, since it wakes up to answer.

    Args:
        run: from `deploy_checkpoint`.
        timeout: seconds after which to give up. The deployment may cost money.
        question: what to ask the model then, None for nothing.
        path: where to ask.

    Raises:
        DeploymentFailed: it will not serve by itself; the message ends with its last log lines.
        WaitTimeout: the limit has passed.
    """
    from truss_train_core import Limits

    serving = Limits(timeout=timeout)
    return _do(run, begin="serving", until="done", serving=serving, question=question, question_path=path)


@task(task_run_name="promote-deployment-of-{run.job_name}", **{**OPTIONS, "cache_policy": NO_CACHE})
def promote_deployment(
    run: TrainingRun,
    environment: str = "production",
    *,
    question: Mapping[str, Any] | None = None,
    expected: Callable[[Any], bool] | None = None,
    path: str = "predict",
    timeout: float = 3600.0,
) -> Promoted:
    """Let a deployment answer in an environment, and put the former one back if it fails there.

    Promoting what answers there already changes nothing.

    Args:
        run: from `wait_for_deployment`.
        environment: "production", or one that was created.
        question: a gate: what the deployment has to answer before anything changes, None for nothing.
        expected: tells of the answer whether it will do; None for any answer.
        path: where to ask.
        timeout: seconds that the environment may take.

    Raises:
        DeploymentFailed: the gate objected, and nothing has changed; or the new one failed, and the message says what
            answers now.
    """
    from prefect_truss_train.telling import Teller
    from truss_train_core import Limits, deployments, gates

    deployed = run.record.deployment
    if deployed is None:
        raise ValueError("nothing is deployed: promote what wait_for_deployment returned")
    if expected and question is None:
        raise ValueError("expected is about the answer to a question, and there is none")
    client, teller = run.client(), Teller(run)
    deployment = client.run(deployments.get(deployed.model_id, deployed.deployment_id), on_event=teller)
    wanted = [] if question is None else [gates.answers(question, expected, path=path)]
    promotion = deployments.promote(deployment, environment, gates=wanted, limits=Limits(timeout=timeout))
    return client.run(promotion, on_event=teller)


@task(task_run_name="stop-{run.job_name}", **{**OPTIONS, "cache_policy": NO_CACHE})
def stop_training_job(run: TrainingRun) -> None:
    """Stop the job of a run. One that has ended already is left alone.

    Raises:
        JobNotFound: it was deleted.
    """
    from prefect_truss_train.telling import Teller
    from truss_train_core import jobs

    client = run.client()
    client.run(jobs.stop(client.run(jobs.fetch(run.project_id, run.job_id))), on_event=Teller(run))


def _do(run: TrainingRun, *, until: Phase, begin: Phase | None = None, **wishes: Any) -> TrainingRun:
    """Take the steps of a run, from `begin` on, until it stands at `until` or at its end, and show what happened."""
    from prefect_truss_train.telling import Teller
    from truss_train_core import runs

    client, teller, plan = run.client(), Teller(run), run.plan(**wishes)
    record: RunRecord = run.record.changed(phase=begin) if begin else run.record
    while True:
        listener = teller.of_its_end if record.phase == "training" else teller
        record = client.run(runs.step(record, plan), on_event=listener)
        if record.phase == "failed":
            client.run(runs.run(plan, record))  # raises RunFailed, with its reasons
        if record.phase == until or record.is_final:
            return run.at(record)
