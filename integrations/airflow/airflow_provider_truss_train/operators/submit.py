"""Submit a training job, exactly once, and leave it to itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_provider_truss_train.links import TrainingJobLink
from airflow_provider_truss_train.operators.base import BasetenOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_truss_train.task_run import OnClear, TaskRun
    from truss_train_core import Client, RunPlan, RunRecord
    from truss_train_core.definitions import Parameter, TrainingProject


class SubmitTrainingJobOperator(BasetenOperator):
    """Submits a training job, exactly once however often the task is tried, and does not wait for it.

    Returns the run's record. A retry after a failure in between returns the job that there is.

    Args:
        config: path of a config.py, absolute or relative to the DAG file (templated); or a `TrainingProject`; or a
            function of the task's context that makes one.
        source_dir: the working directory (templated); by default that of the config file, or of the DAG file.
        environment_variables: added to those of the definition, over them (templated): strings, numbers and booleans.
            They are shown in Airflow, so secrets do not belong here but in a `SecretReference` of the definition.
        begin_from: checkpoints that the run begins from (templated), as `FindServedCheckpointOperator`,
            `ChooseCheckpointOperator` or `RankCheckpointsOperator` returned them; None for what the definition loads.
            See `runs.beginning_from`.
        once_per: what is trained for once, e.g. the version of a dataset (templated): a later DAG run in which it is
            equal takes up the run that there is. None for a training per DAG run.
        baseten_conn_id: id of the connection.
        retrain_when_cleared: whether a clear after the run has finished trains again; a bool, or a template of "true"
            or "false", such as "{{ dag_run.conf.get('retrain', false) }}". Otherwise the finished run is returned.
        on_clear: what becomes of a job that runs although its task is cleared: "reattach" takes it up again, "cancel"
            stops it and begins anew.
    """

    template_fields: Sequence[str] = (
        "config", "source_dir", "environment_variables", "begin_from", "once_per", "retrain_when_cleared",
        "baseten_conn_id",
    )  # fmt: skip
    operator_extra_links = (TrainingJobLink(),)
    ui_color = "#d7f0d0"

    def __init__(
        self,
        *,
        config: str | os.PathLike[str] | XComArg | TrainingProject | Callable[[Context], TrainingProject],
        source_dir: str | os.PathLike[str] | None = None,
        environment_variables: Mapping[str, Parameter] | None = None,
        begin_from: Any = None,
        once_per: str | None = None,
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
        self.begin_from = begin_from
        self.once_per = once_per
        self.retrain_when_cleared = retrain_when_cleared
        self.on_clear = on_clear

    def execute(self, context: Context) -> dict[str, Any]:
        with self.hook.client() as client:
            run = self._take_up(client, context)
            while run.record.phase in ("starting", "submitting"):
                self._step(run)
            self._show(run.record)
            self._tell_outlets(context)
            return run.record.model_dump(mode="json")

    def _take_up(self, client: Client, context: Context) -> TaskRun:
        run = self._run(client, context)
        run.take_up(on_clear=self.on_clear, retrain=str(self.retrain_when_cleared).lower() == "true")
        return run

    def _run(self, client: Client, context: Context) -> TaskRun:
        from airflow_provider_truss_train.lineage import datasets_of
        from airflow_provider_truss_train.task_run import TaskRun

        self.used = datasets_of(self.inlets, context)
        plan, retries = self._plan(context), self.retries or 0
        return TaskRun(client, plan, context, retries=retries, once_per=self.once_per, log=self.log)

    def _step(self, run: TaskRun) -> None:
        run.step()
        self._show(run.record)

    def _show(self, record: RunRecord) -> None:
        from truss_train_core import lineage

        job_id, job_name = record.attempt.job_id, record.attempt.job_name
        if record.project_id and job_id:
            self.pages[TrainingJobLink.name] = self.hook.remote.job_page(record.project_id, job_id)
            self.made = [lineage.job(job_id, job_name=job_name, project=record.project_name)]

    def _plan(self, context: Context) -> RunPlan:
        from airflow_provider_truss_train.facts import checkpoint_refs
        from truss_train_core import RunPlan, runs

        project, directory = self._definition(context)
        project = runs.beginning_from(project, checkpoint_refs(self.begin_from))
        project = project.model_copy(update={"team_name": project.team_name or self.hook.remote.team})
        return RunPlan(project=project, source_dir=directory, follow_logs=False, **self._budgets())

    def _definition(self, context: Context) -> tuple[TrainingProject, Path]:
        if self.project is None:
            path = self._file(self.config)
            project, directory = self._parametrized(path), path.parent
        else:
            project = self._parametrized(self.project(context) if callable(self.project) else self.project)
            directory = self._file("")
        return project, self._file(self.source_dir) if self.source_dir else directory

    def _parametrized(self, config: Path | TrainingProject) -> TrainingProject:
        """A definition, or the one in a file, with the task's parameters."""
        from truss_train_core import load_training_project

        project = load_training_project(config) if isinstance(config, Path) else config
        return project.with_parameters(self.environment_variables)

    def _budgets(self) -> dict[str, Any]:
        return {}
