"""Operators: submit, train, choose, deploy, stop. Each is arguments, the flow of the core it drives, what it shows."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, XComArg

from airflow_provider_truss_train.airflow_side import ENDED, fail_at_once, is_last_try, task_state, teller
from airflow_provider_truss_train.hooks import DEFAULT_CONNECTION, BasetenHook
from airflow_provider_truss_train.links import ModelLink, TrainingJobLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_truss_train.attending import Attendance
    from airflow_provider_truss_train.task_run import OnClear, TaskRun
    from truss_train_core import Client, RunPlan, RunRecord
    from truss_train_core.checkpoints import Choice
    from truss_train_core.definitions import DeployCheckpointsConfig, TrainingProject
    from truss_train_core.jobs import TrainingJob

ON_KILL_SECONDS = 4.0
"""How long a killed task may take to stop its job. Airflow ends its process after five."""


class _BasetenOperator(BaseOperator):
    """What all have in common: a connection, pages to link to, and errors that are not retried in vain."""

    def __init__(self, *, baseten_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        kwargs.setdefault("retry_policy", fail_at_once())
        super().__init__(**kwargs)
        self.baseten_conn_id = baseten_conn_id
        self.pages: dict[str, str] = {}

    @cached_property
    def hook(self) -> BasetenHook:
        return BasetenHook(self.baseten_conn_id)

    def _file(self, name: str) -> Path:
        """A path as the DAG file means it: relative ones begin where that file is."""
        return Path(self.dag.fileloc).parent / name


def with_variables(project: TrainingProject, variables: Mapping[str, str]) -> TrainingProject:
    """A definition with more environment variables, which take precedence over its own."""
    runtime = project.job.runtime
    runtime = runtime.model_copy(
        update={"environment_variables": {**(runtime.environment_variables or {}), **variables}}
    )
    return project.model_copy(update={"job": project.job.model_copy(update={"runtime": runtime})})


class SubmitTrainingJobOperator(_BasetenOperator):
    """Submits a training job, exactly once however often the task is tried, and does not wait for it.

    Returns the run's record. A retry after a failure in between returns the job that there is.

    Args:
        config: path of a config.py, absolute or relative to the DAG file (templated); or a `TrainingProject`; or a
            function of the task's context that makes one.
        source_dir: the working directory (templated); by default that of the config file, or of the DAG file.
        environment_variables: added to those of the definition, over them (templated). They are shown in Airflow, so
            secrets do not belong here but in a `SecretReference` of the definition.
        baseten_conn_id: id of the connection.
        retrain_when_cleared: whether a clear after the run has finished trains again; a bool, or a template of "true"
            or "false", such as "{{ dag_run.conf.get('retrain', false) }}". Otherwise the finished run is returned.
        on_clear: what becomes of a job that runs although its task is cleared: "reattach" takes it up again, "cancel"
            stops it and begins anew.
    """

    template_fields: Sequence[str] = (
        "config", "source_dir", "environment_variables", "retrain_when_cleared", "baseten_conn_id",
    )  # fmt: skip
    operator_extra_links = (TrainingJobLink(),)
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        config: str | os.PathLike[str] | XComArg | TrainingProject | Callable[[Context], TrainingProject],
        source_dir: str | os.PathLike[str] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        retrain_when_cleared: bool | str = False,
        on_clear: OnClear = "reattach",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_clear not in ("reattach", "cancel"):
            raise ValueError(f"on_clear is 'reattach' or 'cancel', not {on_clear!r}")
        is_path = isinstance(config, (str, os.PathLike, XComArg))
        # A definition is not rendered: what Airflow renders it shows, and this one may hold environment variables.
        self.config: Any = os.fspath(config) if isinstance(config, os.PathLike) else config if is_path else None
        self.project: Any = None if is_path else config
        self.source_dir = os.fspath(source_dir) if isinstance(source_dir, os.PathLike) else source_dir
        self.environment_variables = environment_variables
        self.retrain_when_cleared = retrain_when_cleared
        self.on_clear = on_clear

    def execute(self, context: Context) -> dict[str, Any]:
        with self.hook.client() as client:
            run = self._take_up(client, context)
            while run.record.phase in ("starting", "submitting"):
                self._step(run)
            self._show(run.record)
            return run.record.model_dump(mode="json")

    def _take_up(self, client: Client, context: Context) -> TaskRun:
        run = self._run(client, context)
        run.take_up(on_clear=self.on_clear, retrain=str(self.retrain_when_cleared).lower() == "true")
        return run

    def _run(self, client: Client, context: Context) -> TaskRun:
        from airflow_provider_truss_train.task_run import TaskRun

        return TaskRun(client, self._plan(context), context, retries=self.retries or 0, log=self.log)

    def _step(self, run: TaskRun) -> None:
        run.step()
        self._show(run.record)

    def _show(self, record: RunRecord) -> None:
        if record.project_id and record.attempt.job_id:
            page = self.hook.remote.job_page(record.project_id, record.attempt.job_id)
            self.pages[TrainingJobLink.name] = page

    def _plan(self, context: Context) -> RunPlan:
        from truss_train_core import RunPlan

        project, directory = self._definition(context)
        project = with_variables(project, self.environment_variables or {})
        project = project.model_copy(update={"team_name": project.team_name or self.hook.remote.team})
        return RunPlan(project=project, source_dir=directory, follow_logs=False, **self._budgets())

    def _definition(self, context: Context) -> tuple[TrainingProject, Path]:
        from truss_train_core import load_training_project

        if self.project is None:
            path = self._file(self.config)
            project, directory = load_training_project(path), path.parent
        else:
            project = self.project(context) if callable(self.project) else self.project
            directory = self._file("")
        return project, self._file(self.source_dir) if self.source_dir else directory

    def _budgets(self) -> dict[str, int]:
        return {}


class TrainingJobOperator(SubmitTrainingJobOperator):
    """Trains: submits a job exactly once, waits for it, and where it breaks off resumes from the last checkpoint.

    While it waits it needs no worker, and the job's log appears in the task's log. Returns the run's record, which
    `ChooseCheckpointOperator` takes.

    The job is stopped when the task is marked failed or successful, when its DAG run times out, and when
    `training_timeout` has passed; not when a worker or a triggerer is restarted or dies: the next takes it up.

    Args:
        config, source_dir, environment_variables, baseten_conn_id, retrain_when_cleared, on_clear: as for
            `SubmitTrainingJobOperator`.
        max_failures: how many failed attempts are followed by another within one try of the task.
        max_preemptions: the same for attempts that lost their machines.
        training_timeout: seconds from a job's creation after which it is stopped and the task fails; None for never.
        outage: seconds for which an API that does not answer is put up with.
        follow_logs: whether to show the job's log. With hundreds of tasks at once, each costs a call per look.
        deferrable: whether to wait in the triggerer rather than on a worker.
    """

    def __init__(
        self,
        *,
        max_failures: int = 2,
        max_preemptions: int = 10,
        training_timeout: float | None = None,
        outage: float = 1800.0,
        follow_logs: bool = True,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_failures = max_failures
        self.max_preemptions = max_preemptions
        self.training_timeout = training_timeout
        self.outage = outage
        self.follow_logs = follow_logs
        self.deferrable = deferrable
        self._in_hand: tuple[Any, TaskRun] | None = None
        self._killed = False

    def execute(self, context: Context) -> dict[str, Any]:
        with self.hook.client() as client:
            return self._train(self._take_up(client, context), client, context)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after the triggerer has waited for a job."""
        from airflow_provider_truss_train.triggers import error_of

        if error := error_of(event):
            raise error
        with self.hook.client() as client:
            run = self._run(client, context)
            run.go_on()
            if run.record.phase == "training":
                self._step(run)
            return self._train(run, client, context)

    def on_kill(self) -> None:
        """Stop the job if nobody waits for it any more.

        Airflow calls this when a person marks or clears the task, but also when the worker is shut down. It runs within
        a signal handler, between any two instructions of the task, so the work is done by another thread. A job that is
        just being submitted is stopped as soon as it is known.
        """
        self._killed = True
        thread = threading.Thread(target=self._stop_if_unwanted)
        thread.start()
        thread.join(ON_KILL_SECONDS)

    def _train(self, run: TaskRun, client: Client, context: Context) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowFailException

        from truss_train_core.errors import RunFailed

        self._in_hand = (context["ti"], run)
        while not run.record.is_final:
            if run.record.phase == "training":
                self._wait(run, client)
            self._step(run)
        if run.record.phase == "failed":
            failure = f"Run {run.record.key} of project {run.record.project_name!r} failed: {run.record.failure}"
            if run.record.attempt.cause == "stopped":  # somebody wanted it to end
                raise AirflowFailException(failure)
            raise RunFailed(failure, hint="Nothing of it runs any more; a retry goes on from its newest checkpoint.")
        return run.record.model_dump(mode="json")

    def _wait(self, run: TaskRun, client: Client) -> None:
        """Wait for the job of the current attempt; deferred, this does not return."""
        from airflow_provider_truss_train.attending import attend

        if self._killed:
            self._stop_if_unwanted()
        self._show(run.record)
        attendance = self._attendance(run.record)
        if self.deferrable:
            self._defer(run.record, attendance)
        client.run(attend(attendance), on_event=teller(self.log))

    def _attendance(self, record: RunRecord) -> Attendance:
        from airflow_provider_truss_train.attending import Attendance

        return Attendance(
            project_id=record.project_id or "",
            job_id=record.attempt.job_id or "",
            timeout=self.training_timeout,
            outage=self.outage,
            follow_logs=self.follow_logs,
        )

    def _defer(self, record: RunRecord, attendance: Attendance) -> None:
        from airflow_provider_truss_train.triggers import TrainingRunTrigger

        ended = record.attempt.model_copy(update={"status": "TRAINING_JOB_COMPLETED", "cause": "completed"})
        completed = record.with_attempt(ended, phase="done").model_dump(mode="json")
        self.defer(
            trigger=TrainingRunTrigger(
                baseten_conn_id=self.baseten_conn_id,
                attendance=attendance.as_dict(),
                ends_task=self.do_xcom_push and not self.outlets,
                stop_on_clear=self.on_clear == "cancel",
                completed=completed,
            ),
            method_name="execute_complete",
        )

    def _stop_if_unwanted(self) -> None:
        from airflow_provider_truss_train.attending import stop

        if self._in_hand is None:
            return
        ti, run = self._in_hand
        project_id, job_id = run.record.project_id, run.record.attempt.job_id
        if not project_id or not job_id:
            return
        state = task_state(ti)
        cleared = state not in (*ENDED, "running")
        unwanted = state in ENDED or (cleared and self.on_clear == "cancel")
        if unwanted or (state == "running" and is_last_try(ti)):
            self.log.info("The task is %s: its job is stopped.", state or "to run again")
            with self.hook.client() as client:  # the task's own may be in the middle of something
                client.run(stop(project_id, job_id), on_event=teller(self.log))
        else:
            self.log.info("The task is %s: its job goes on, and the next try takes it up.", state or "to run again")

    def _budgets(self) -> dict[str, int]:
        return {"max_failures": self.max_failures, "max_preemptions": self.max_preemptions}


class ChooseCheckpointOperator(_BasetenOperator):
    """Chooses a checkpoint of a run, by a metric or the newest, and shows the table it chose from in the task's log.

    Returns the choice, which `DeployCheckpointOperator` takes: `checkpoint`, `step`, `metric`, `mode`, `value` and
    `reason`.

    Args:
        run: the record that a training task returned (templated; usually that task's output).
        metric: name of the metric; None for the newest checkpoint.
        mode: "min" or "max"; to be given with a metric.
        log_pattern: a regular expression that finds the metric in the job's log, as in `checkpoints.from_log`.
        deployable: whether only checkpoints that Baseten can deploy are considered.
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("run", "metric", "mode", "baseten_conn_id")
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        run: Any,
        metric: str | None = None,
        mode: str | None = None,
        log_pattern: str | None = None,
        deployable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (metric is None) != (mode is None):
            raise ValueError("metric and mode are given together: the direction is never guessed")
        self.run = run
        self.metric = metric
        self.mode = mode
        self.log_pattern = log_pattern
        self.deployable = deployable

    def execute(self, context: Context) -> dict[str, Any]:
        from truss_train_core import RunRecord, runs

        with self.hook.client() as client:
            jobs = client.run(runs.jobs_of(RunRecord.model_validate(self.run)))
            choice = self._choose(client, jobs)
        for row in choice.table:
            value = "" if row.value is None else f"{row.value:.6g}"
            self.log.info("%-30s %12s  %s", row.checkpoint, value, row.rejected or "")
        return choice.model_dump(mode="json", exclude={"table"})

    def _choose(self, client: Client, jobs: Sequence[TrainingJob]) -> Choice:
        from truss_train_core import checkpoints, runs

        requirement = checkpoints.deployable if self.deployable else checkpoints.complete
        if self.metric is None:
            flow = checkpoints.find_newest(jobs, requirement=requirement)
        else:
            best = runs.Best(metric=self.metric, mode=self.mode, log_pattern=self.log_pattern)
            flow = checkpoints.find_best(jobs, best.metric, best.mode, sources=best.sources(), requirement=requirement)
        return client.run(flow, on_event=teller(self.log))


class DeployCheckpointOperator(_BasetenOperator):
    """Deploys a chosen checkpoint, exactly once however often the task is tried, and waits until it serves.

    Returns `model_id`, `deployment_id` and `status`, and with a question the `answer`.

    Args:
        checkpoint: the choice that `ChooseCheckpointOperator` returned (templated; usually that task's output).
        config: path of a config.py with a `DeployCheckpointsConfig`, absolute or relative to the DAG file (templated);
            or that definition itself.
        question: what to ask the deployed model, as JSON; None for nothing.
        question_path: where: "predict", or "sync/…" for a path of the model server itself.
        serving_timeout: seconds that the deployment may take to serve.
        baseten_conn_id: id of the connection.
        deferrable: whether to wait in the triggerer rather than on a worker.
    """

    template_fields: Sequence[str] = ("checkpoint", "config", "question", "baseten_conn_id")
    operator_extra_links = (ModelLink(),)
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        checkpoint: Any,
        config: str | os.PathLike[str] | XComArg | DeployCheckpointsConfig,
        question: Mapping[str, Any] | None = None,
        question_path: str = "predict",
        serving_timeout: float = 3600.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        is_path = isinstance(config, (str, os.PathLike, XComArg))
        self.checkpoint = checkpoint
        self.config: Any = os.fspath(config) if isinstance(config, os.PathLike) else config if is_path else None
        self.definition: Any = None if is_path else config
        self.question = question
        self.question_path = question_path
        self.serving_timeout = serving_timeout
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        return self._deploy(wait_without_worker=self.deferrable)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after the triggerer has waited; the deployment that there is is found again."""
        from airflow_provider_truss_train.triggers import error_of

        if error := error_of(event):
            raise error
        return self._deploy(wait_without_worker=False)

    def _deploy(self, *, wait_without_worker: bool) -> dict[str, Any]:
        from airflow_provider_truss_train.facts import deployment_facts
        from truss_train_core import Limits, deployments, load_deploy_checkpoints_config
        from truss_train_core.checkpoints import Choice

        chosen = Choice.model_validate({**self.checkpoint, "table": ()}).checkpoint
        config = self.definition or load_deploy_checkpoints_config(self._file(self.config))
        tell = teller(self.log)
        with self.hook.client() as client:
            deployment = client.run(deployments.deploy(deployments.with_checkpoint(config, chosen)), on_event=tell)
            page = self.hook.remote.model_page(deployment.model_id, deployment.id)
            self.pages[ModelLink.name] = page
            if wait_without_worker:
                self._defer(deployment.model_id, deployment.id)
            limits = Limits(timeout=self.serving_timeout)
            serving = client.run(deployments.wait_until_serving(deployment, limits=limits), on_event=tell)
            facts = deployment_facts(serving)
            if self.question is None:
                return facts
            return {**facts, "answer": client.run(deployments.ask(serving, self.question, path=self.question_path))}

    def _defer(self, model_id: str, deployment_id: str) -> None:
        from airflow_provider_truss_train.triggers import DeploymentTrigger

        self.defer(
            trigger=DeploymentTrigger(
                baseten_conn_id=self.baseten_conn_id,
                model_id=model_id,
                deployment_id=deployment_id,
                timeout=self.serving_timeout,
                ends_task=self.do_xcom_push and self.question is None and not self.outlets,
            ),
            method_name="execute_complete",
        )


class StopTrainingJobOperator(_BasetenOperator):
    """Stops a job, if it runs. Returns the job's ids and its status then.

    Args:
        run: the record that a training task returned (templated), whose current job is meant; or None.
        job: id or name of the job otherwise (templated).
        baseten_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("run", "job", "baseten_conn_id")
    ui_color = "#f0dcd0"

    def __init__(self, *, run: Any = None, job: str | XComArg | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if (run is None) == (job is None):
            raise ValueError("give a run or a job, one of the two")
        self.run = run
        self.job: Any = job

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_truss_train.facts import job_facts
        from truss_train_core import RunRecord, jobs

        wanted = self.job if self.run is None else RunRecord.model_validate(self.run).attempt.job_id
        with self.hook.client() as client:
            job = client.run(jobs.find(wanted))
            return job_facts(client.run(jobs.stop(job), on_event=teller(self.log)))
