"""Tasks for sweeps: train a trial, and choose the best checkpoint over all of them.

    trained = train_trial.map(config, trials, credentials="baseten")
    trained.wait()  # however they ended
    best = choose_trial(config, trials, deploy_config=config, credentials="baseten")

A trial is one task from its submission to its end, so that whatever limits tasks limits trials, and with them GPUs: the
workers of the flow's task runner, or a concurrency limit on the tag "truss-train-trial".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from prefect_truss_train import keys
from prefect_truss_train.tasks import OPTIONS

if TYPE_CHECKING:
    from prefect_truss_train.training_run import TrainingRun
    from truss_train_core.definitions import DeployCheckpointsConfig, Parameter, TrainingProject
    from truss_train_core.sweeps import Results, Trial


@task(task_run_name="train-trial-{trial.number}", **{**OPTIONS, "tags": {"truss-train", "truss-train-trial"}})
def train_trial(
    config: str | Path | TrainingProject,
    trial: Trial,
    *,
    source_dir: str | Path | None = None,
    environment: Mapping[str, Parameter] | None = None,
    credentials: str | None = None,
    max_failures: int = 2,
    max_preemptions: int = 10,
) -> TrainingRun:
    """Train one trial of a sweep, exactly once per flow run: submit, wait, resume, stop it early where it does poorly.

    That is no failure: the record's attempt ends as "stopped early", with the numbers, and its checkpoints count.

    Args:
        config: path of a config.py, or a definition.
        trial: from `truss_train_core.sweeps.grid` or `sample`.
        source_dir: the working directory; by default that of the file, or the current one for a definition.
        environment: environment variables that all trials have in common.
        credentials: name of a `BasetenCredentials` block; by default the default remote where the flow runs.
        max_failures: how many failed attempts are followed by another one.
        max_preemptions: the same for attempts that lost their machines.

    Raises:
        RunFailed: no attempt follows the last.
        ConfigFileError, DefinitionError, PackageError, RemoteError: nothing was created.
        FlowRunCancelled: the flow run was cancelled meanwhile.
    """
    from prefect_truss_train.telling import Teller
    from truss_train_core import runs, sweeps

    run = _run_of(config, trial, source_dir, environment, credentials)
    plan = run.plan(verdict=sweeps.verdict(trial), max_failures=max_failures, max_preemptions=max_preemptions)
    return run.at(run.client().run(runs.run(plan, run.record), on_event=Teller(run)))


@task(task_run_name="choose-trial", **{**OPTIONS, "cache_policy": NO_CACHE})
def choose_trial(
    config: str | Path | TrainingProject,
    trials: Sequence[Trial],
    *,
    source_dir: str | Path | None = None,
    deploy_config: str | Path | DeployCheckpointsConfig | None = None,
    credentials: str | None = None,
) -> TrainingRun:
    """Choose the best checkpoint over all trials of a sweep, and show their table and curves in an artifact.

    Returns the run of the trial that it is of, for `deploy_checkpoint`. Trials that failed, or were stopped early,
    count with the checkpoints that they have.

    Args:
        config: path of the config.py of the trials, or the definition.
        trials: of the sweep.
        source_dir: as for `train_trial`.
        deploy_config: what will be deployed: then only checkpoints that can be deployed are considered.
        credentials: as for `train_trial`.

    Raises:
        NoUsableCheckpoint: none can be chosen; the message says what each lacks.
    """
    from prefect_truss_train import artifacts
    from truss_train_core import runs

    run = _run_of(config, trials[0], source_dir, None, credentials)
    project_id, results = _look(run, trials, for_deployment=deploy_config is not None)
    artifacts.show_sweep(run.project.name, results)
    choice = results.expect_choice()
    if results.chosen:
        run = _run_of(config, results.chosen.trial, source_dir, None, credentials)
    if deploy_config:
        run = run.to_be_deployed(deploy_config)
    attempt = run.record.attempt.model_copy(update={"job_id": choice.checkpoint.training_job_id})
    phase = "deploying" if deploy_config else "done"
    return run.at(run.record.with_attempt(attempt, project_id=project_id, choice=runs.Chosen.of(choice), phase=phase))


def _run_of(
    config: str | Path | TrainingProject,
    trial: Trial,
    source_dir: str | Path | None,
    environment: Mapping[str, Parameter] | None,
    credentials: str | None,
) -> TrainingRun:
    """The run of a trial within the current flow run, as it begins."""
    from prefect_truss_train.training_run import TrainingRun, load_training
    from truss_train_core import runs

    project, directory = load_training(config, source_dir, environment, trial)
    plan = runs.RunPlan(project=project, source_dir=directory)
    record = runs.new_record(plan, keys.run_key("trial", trial.sweep, trial.number))
    return TrainingRun(record=record, project=project, source_dir=directory, credentials=credentials)


def _look(run: TrainingRun, trials: Sequence[Trial], *, for_deployment: bool) -> tuple[str, Results]:
    from truss_train_core import checkpoints, jobs, sweeps

    client = run.client()
    project = client.run(jobs.find_project(run.project.name))
    requirement = checkpoints.deployable if for_deployment else checkpoints.complete
    return project.id, client.run(sweeps.results(project.id, trials, requirement=requirement))
