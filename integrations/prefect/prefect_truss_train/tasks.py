"""The tasks. Each takes a `TrainingRun`, drives one flow of the core, and returns where the run stands then.

    run = submit_training_job("training/config.py", credentials="baseten")
    run = wait_for_training_job(run)
    run = choose_checkpoint(run, "eval_loss", "min")

Their results persist, and the names of jobs carry the flow run's key: a flow run that is retried, or killed anywhere
and retried, takes up the same jobs and deployments. Transient errors of the API do not end them: the core waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    from truss_train_core.deployments import Gate, Kept, Probation, Promoted
    from truss_train_core.jobs import TrainingJob
    from truss_train_core.runs import Budget, CheckpointRef, Phase, RunRecord

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


@task(task_run_name="find-served-checkpoint-of-{model_name}", **OPTIONS)
def find_served_checkpoint(
    model_name: str, environment: str = "production", *, credentials: str | None = None
) -> CheckpointRef | None:
    """Find the checkpoint that answers in an environment of a model, for a training that is to begin from it.

    A flow run that is retried begins from the same. It is None where nothing answers there yet, or its job was deleted.

    Args:
        model_name: of the model.
        environment: `production`, or one that was created.
        credentials: name of a `BasetenCredentials` block; by default the default remote where the flow runs.

    Raises:
        NoUsableCheckpoint: what answers is not of one checkpoint of a training job.
    """
    from prefect_truss_train.credentials import client_for, remote_of
    from prefect_truss_train.telling import run_logger, tell
    from truss_train_core import runs

    logger = run_logger()
    find = runs.served_checkpoint(model_name, environment)
    found = client_for(remote_of(credentials)).run(find, on_event=lambda event: tell(event, logger))
    what = f"{found.name} of job {found.job_id}" if found else "no checkpoint to begin from"
    logger.info("In %s of model %s: %s.", environment, model_name, what)
    return found


@task(task_run_name="submit-training-job", **OPTIONS)
def submit_training_job(
    config: str | Path | TrainingProject,
    *,
    source_dir: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    credentials: str | None = None,
    begin_from: Sequence[CheckpointRef] = (),
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
        begin_from: checkpoints that the run begins from, as `find_served_checkpoint` and `rank_checkpoints` return
            them; none for what the definition loads. See `runs.beginning_from`.
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
    start = [runs.CheckpointRef.model_validate(each) for each in begin_from]
    project = runs.beginning_from(project, start)
    inputs = config if isinstance(config, (str, Path)) else config.model_dump_json()
    origin = [(each.job_id, each.name) for each in start]
    key = keys.run_key(inputs, source_dir, sorted((environment or {}).items()), *origin)
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


@task(task_run_name="rank-checkpoints-of-{run.job_name}", **OPTIONS)
def rank_checkpoints(
    run: TrainingRun,
    metric: str,
    mode: CheckpointMode,
    *,
    count: int = 3,
    log_pattern: str | None = None,
    deployable: bool = True,
) -> tuple[CheckpointRef, ...]:
    """Rank the best few checkpoints of all attempts of a run, the best first.

    `submit_training_job` takes them as `begin_from`, for a gate job that scores them.

    Args:
        run: whose job has completed.
        metric: by which one.
        mode: "min" for losses, "max" for scores.
        count: how many; there are fewer where fewer can be chosen.
        log_pattern: a regular expression that finds the metric in the log, where the checkpoints do not hold it.
        deployable: whether only checkpoints that can be deployed are considered.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    from prefect_truss_train.telling import Teller
    from truss_train_core import checkpoints, runs

    client, best = run.client(), runs.Best(metric=metric, mode=mode, log_pattern=log_pattern)
    requirement = checkpoints.deployable if deployable else checkpoints.complete
    jobs = client.run(runs.jobs_of(run.record))
    find = checkpoints.find_top(jobs, metric, mode, count, sources=best.sources(), requirement=requirement)
    return tuple(map(runs.CheckpointRef.of, client.run(find, on_event=Teller(run))))


@task(task_run_name="choose-checkpoint-of-{run.job_name}", **OPTIONS)
def choose_checkpoint(
    run: TrainingRun,
    metric: str | None = None,
    mode: CheckpointMode | None = None,
    *,
    log_pattern: str | None = None,
    scored_by: TrainingRun | None = None,
    deploy_config: str | Path | DeployCheckpointsConfig | None = None,
) -> TrainingRun:
    """Choose the best checkpoint of all attempts of a run, and show the table that the choice was made from.

    Args:
        run: whose job has completed.
        metric: by which one, e.g. "eval_loss"; without, the newest checkpoint is chosen.
        mode: "min" for losses, "max" for scores.
        log_pattern: a regular expression that finds the metric in the log, where the checkpoints do not hold it.
        scored_by: a gate job that has completed, in whose scores of the checkpoints that it began from the metric is
            looked for first; see `checkpoints.scored_by`.
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
        first = (scored_by.scores(),) if scored_by else ()
        wishes["best"] = runs.Best(metric=metric, mode=mode, log_pattern=log_pattern, first=first)
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
    gates: Sequence[Gate] = (),
    question: Mapping[str, Any] | None = None,
    expected: Callable[[Any], bool] | None = None,
    path: str = "predict",
    when_refused: Literal["fail", "keep"] = "fail",
    timeout: float = 3600.0,
) -> Promoted | Kept:
    """Let a deployment answer in an environment, and put the former one back if it fails there.

    Promoting what answers there already changes nothing.

    Args:
        run: from `wait_for_deployment`.
        environment: "production", or one that was created.
        gates: what it has to pass before anything changes: gates of `truss_train_core.gates`.
        question: a gate before these: what the deployment has to answer, None for nothing.
        expected: tells of the answer whether it will do; None for any answer.
        path: where to ask.
        when_refused: what becomes of the task where a gate refuses: "fail", or "keep": then the refused deployment is
            let go, what answered answers on, and the task returns that and why.
        timeout: seconds that the environment may take.

    Raises:
        PromotionRefused: a gate objected, and nothing has changed.
        DeploymentFailed: the new one failed, and the message says what answers now.
    """
    from prefect_truss_train.telling import Teller
    from truss_train_core import Limits, deployments
    from truss_train_core.gates import answers

    deployed = run.record.deployment
    if deployed is None:
        raise ValueError("nothing is deployed: promote what wait_for_deployment returned")
    if expected and question is None:
        raise ValueError("expected is about the answer to a question, and there is none")
    client, teller = run.client(), Teller(run)
    deployment = client.run(deployments.get(deployed.model_id, deployed.deployment_id), on_event=teller)
    wanted = [*([] if question is None else [answers(question, expected, path=path)]), *gates]
    promote = deployments.promote_or_keep if when_refused == "keep" else deployments.promote
    return client.run(promote(deployment, environment, gates=wanted, limits=Limits(timeout=timeout)), on_event=teller)


@task(task_run_name="watch-deployment-of-{run.job_name}", **{**OPTIONS, "cache_policy": NO_CACHE})
def watch_deployment(
    run: TrainingRun,
    promoted: Promoted,
    probes: Sequence[Gate],
    *,
    seconds: float = 3600.0,
    every: float = 60.0,
    objections: int = 3,
    timeout: float = 3600.0,
) -> Probation:
    """Probe a deployment for a while after its promotion, and roll that back if it fails.

    What somebody else has promoted meanwhile is left alone. Killed and retried, it watches as long again.

    Args:
        run: whose deployment was promoted.
        promoted: from `promote_deployment`.
        probes: gates of `truss_train_core.gates` that are asked again and again.
        seconds: for how long.
        every: seconds between two probes.
        objections: how many in a row roll the promotion back.
        timeout: seconds that the environment may take to answer with the former deployment.

    Raises:
        DeploymentFailed: it was rolled back, or could not be; the message says why, and what answers now.
    """
    from prefect_truss_train.telling import Teller
    from truss_train_core import Limits, deployments

    pace: dict[str, Any] = {"seconds": seconds, "every": every, "objections": objections}
    watch = deployments.watch(promoted, probes, limits=Limits(timeout=timeout), **pace)
    return deployments.expect_passed(run.client().run(watch, on_event=Teller(run)))


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
